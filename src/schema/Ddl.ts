/**
 * The schema of a tenant's database, as SQL for a migration pipeline.
 *
 * @since 0.1.0
 */
import * as DdlObjects from "./DdlObjects.ts"

/**
 * The schema part by part, in the order in which the parts build on each other, for pipelines that run one statement at a time.
 *
 * @category constants
 * @since 0.1.0
 */
export const parts: ReadonlyArray<DdlObjects.Part> = DdlObjects.parts

/**
 * The whole schema as one idempotent script, for a migration pipeline. It also upgrades a table that older services left.
 *
 * @category constants
 * @since 0.1.0
 */
export const sql: string = DdlObjects.script(parts)

/**
 * What the run-time role needs, as a script: rights on the rows, and none on the schema or the sequence.
 *
 * **Details**
 *
 * The role also needs `USAGE` on the schema that holds the table; in `public` every role has it.
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
export const grants = (role: string): string =>
  `GRANT SELECT, INSERT, UPDATE, DELETE ON systemplane_entries TO ${quoteIdentifier(role)};\n`

const quoteIdentifier = (name: string): string => `"${name.replaceAll(`"`, `""`)}"`
