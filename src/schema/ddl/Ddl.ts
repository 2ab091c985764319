/**
 * The schema of a tenant's database, as SQL for a migration pipeline.
 *
 * A script looks at each object first, and makes or mends only what is not as it should be: to run it again changes
 * nothing. `bootstrap: "ensure"` runs the same statements, for those objects that it found wanting. What the objects
 * are is in the other files of this folder, one for each table or trigger.
 *
 * @since 0.1.0
 */
import * as DdlEntries from "./DdlEntries.ts"
import * as DdlGrants from "./DdlGrants.ts"
import * as DdlHistory from "./DdlHistory.ts"
import * as DdlKeys from "./DdlKeys.ts"
import type { DdlObject, Part } from "./DdlObjects.ts"
import * as DdlPeople from "./DdlPeople.ts"
import * as DdlScript from "./DdlScript.ts"

/**
 * What a script makes, and where.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScriptOptions {
  /** `false`: without the history, its triggers and what reads it. Default: `true`. */
  readonly history?: boolean | undefined
  /**
   * The schema that holds the objects. Default: the schema of the `search_path` that holds the table
   * `systemplane_entries`, or the first one if there is no table.
   */
  readonly schema?: string | undefined
}

const listOf = (history: boolean): ReadonlyArray<DdlObject> => [
  ...DdlEntries.objects,
  ...DdlKeys.objects,
  ...(history ? DdlHistory.objects : []),
  ...DdlPeople.objects,
  ...(history ? DdlPeople.historyObjects : []),
  DdlKeys.ownTriggers
]
const withHistory = listOf(true)
const withoutHistory = listOf(false)

/**
 * All objects, in the order in which they build on each other. Each caller gets the same list: what one has found in
 * order, none of them has to look at again.
 */
export const objects = (history: boolean): ReadonlyArray<DdlObject> => (history ? withHistory : withoutHistory)

/**
 * The schema part by part, in the order in which the parts build on each other, for pipelines that run one statement at
 * a time.
 *
 * **Details**
 *
 * Between any two of them writers of older services go on writing. Each looks before it changes anything.
 *
 * @category constants
 * @since 0.1.0
 */
export const parts: ReadonlyArray<Part> = objects(true).map((object) => ({
  name: object.name,
  statements: [DdlScript.statement([object])]
}))

/**
 * The schema as one idempotent statement.
 *
 * **Details**
 *
 * It looks before it changes anything: a database in order sees neither DDL nor a lock on its tables. Scripts that meet
 * wait for each other, at `READ COMMITTED`: above it, one that has waited fails, and is run again. It waits for
 * locks as long as `lock_timeout` says, and 10 seconds if that is not set. It also upgrades tables that older services
 * left. It fails, before it has changed anything, if the `search_path` holds a second table `systemplane_entries`, if a
 * view or foreign table has its name, and if the table holds the entries of many tenants in a column `tenant_id`. Its
 * functions, tables and sequence come to belong to the owner of the table.
 *
 * @category constructors
 * @since 0.1.0
 */
export const script = ({ history = true, schema }: ScriptOptions = {}): string =>
  `${DdlScript.statement(objects(history), schema)};\n`

/**
 * The whole schema, with the history, as {@link script} gives it.
 *
 * @category constants
 * @since 0.1.0
 */
export const sql: string = script({})

/**
 * What a role is granted beside what it needs to serve values.
 *
 * @category models
 * @since 0.1.0
 */
export interface GrantOptions {
  /** Whether the role may remove old records of the history: `systemplane_history_purge`. Default: `false`. */
  readonly purge?: boolean | undefined
  /** The schema that holds the objects. Default: as in {@link ScriptOptions}. */
  readonly schema?: string | undefined
}

/**
 * What the run-time role needs, as one statement: rights on the rows, and none on the schema or the sequence.
 *
 * **Details**
 *
 * `SELECT, INSERT, UPDATE, DELETE` on the entries, the catalogue of keys and the processes, and `SELECT` on the history
 * and on `systemplane_recent_changes`. Objects that are not there are left out. The role also needs `USAGE` on the
 * schema; in `public` every role has it. A process that only reads needs `SELECT` on `systemplane_entries` alone.
 *
 * **Example** (A migration for a role that may do no more than it must)
 *
 * ```ts
 * import { Ddl } from "effect-systemplane"
 *
 * console.log(Ddl.sql + Ddl.grants("app"))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const grants = (role: string, { purge = false, schema }: GrantOptions = {}): string =>
  `${DdlScript.grantStatement(
    [...DdlGrants.runtime, ...(purge ? [DdlGrants.purge] : [])].map(({ isFunction, object, statement }) => ({
      object,
      isFunction,
      grant: `${statement} ${quoteIdentifier(role)}`
    })),
    schema
  )};\n`

const quoteIdentifier = (name: string): string => `"${name.replaceAll(`"`, `""`)}"`
