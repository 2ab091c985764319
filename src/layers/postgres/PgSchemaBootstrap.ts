/**
 * Brings up the schema in PostgreSQL, and seeds defaults.
 *
 * `ensure` makes what is missing, `verify` only says what is, and both first look at the catalogue (PgCatalog) and
 * compare it with what the objects should be (PgSchemaFindings). What merely warns never keeps a tenant from being
 * served. Once a tenant is live, PgSchemaWatch looks again; seeds are PgSeeding's.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ddl from "../../schema/ddl/Ddl.ts"
import * as DdlEntries from "../../schema/ddl/DdlEntries.ts"
import * as DdlHistoryTable from "../../schema/ddl/DdlHistoryTable.ts"
import { type DdlObject, lockKey } from "../../schema/ddl/DdlObjects.ts"
import * as DdlScript from "../../schema/ddl/DdlScript.ts"
import { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { KeyName } from "../../schema/KeyName.ts"
import {
  PermissionDenied,
  SchemaBootstrapError,
  type SchemaBootstrapErrorReason,
  SchemaMissing,
  SchemaOutdated,
  TableUnsuitable
} from "../../schema/SchemaBootstrapError.ts"
import * as SecretNames from "../../schema/SecretNames.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query } from "../../services/Connector.ts"
import { type Ensured, SchemaBootstrap, type Verified } from "../../services/SchemaBootstrap.ts"
import { schemaLockTimeout, schemaSilenceTimeout } from "../runtime/Timeouts.ts"
import { PgDatabases } from "./PgDatabases.ts"
import * as PgSeeding from "./PgSeeding.ts"
import * as PgCatalog from "./schema/PgCatalog.ts"
import * as PgSchemaCheck from "./schema/PgSchemaCheck.ts"
import * as PgSchemaFindings from "./schema/PgSchemaFindings.ts"

// A short statement_timeout of the role would have the schema never made: the transaction has a bound of its own.
const settings = `SELECT pg_catalog.set_config('lock_timeout', '${schemaLockTimeout}', true),
  pg_catalog.set_config('statement_timeout', '0', true),
  pg_catalog.set_config('idle_in_transaction_session_timeout', '${schemaSilenceTimeout}', true),
  pg_catalog.set_config('systemplane.secret', $1::text, true)`

const lock = `SELECT pg_catalog.pg_advisory_xact_lock(${lockKey})`

interface Inspected {
  readonly catalogue: PgCatalog.Catalog
  readonly schema: string
  readonly found: ReadonlyArray<PgSchemaFindings.Finding>
}

const objectsOf = (found: ReadonlyArray<PgSchemaFindings.Finding>) => [...new Set(found.map(({ object }) => object))]

const names = (found: ReadonlyArray<PgSchemaFindings.Finding>) => objectsOf(found).map(({ name }) => name)

const mending = ({ found }: Inspected) => `${DdlScript.statement(objectsOf(found))};\n`

const notAsItShouldBe = (inspected: Inspected, denied?: string): SchemaMissing | SchemaOutdated => {
  const fields = {
    parts: names(inspected.found),
    sql: mending(inspected),
    ...(denied === undefined ? {} : { denied })
  }
  return inspected.catalogue.table ? new SchemaOutdated(fields) : new SchemaMissing(fields)
}

/**
 * What is wrong with a table that can be served all the same: one line for each object, with the SQL if that is short,
 * and one for what is missing or of another owner, which is often a lot.
 */
const warningsOf = ({ found, schema }: Inspected): ReadonlyArray<string> => {
  const mend = `run Ddl.sql in the schema ${schema} as the owner of systemplane_entries`
  const missing = found.filter(({ problem }) => problem === "is missing")
  const foreign = found.filter(({ problem }) => problem === PgSchemaFindings.ofAnotherOwner)
  const rest = found.filter((finding) => !missing.includes(finding) && !foreign.includes(finding))
  return [
    ...(missing.length === 0 ? [] : [`Missing: ${names(missing).join(", ")}; ${mend}.`]),
    ...(foreign.length === 0
      ? []
      : [
          `Of another owner than systemplane_entries: ${names(foreign).join(", ")}; run Ddl.sql in the schema ${schema} as a superuser.`
        ]),
    ...rest.map(({ object, problem, sql }) => `${object.name} ${problem}; ${sql ? `run: ${sql}` : `${mend}.`}`)
  ]
}

/** Why the role could not do what it tried. */
const deniedMending = ({ catalogue, schema }: Inspected): string =>
  catalogue.mayCreate
    ? `the role ${catalogue.role} does not have the rights of the owner of systemplane_entries`
    : `the role ${catalogue.role} lacks CREATE on the schema ${schema}`

const denied = ({ role }: PgCatalog.Catalog) => new PermissionDenied({ sql: Ddl.grants(role) })

const unsuitableTable = (table: string, problem: TableUnsuitable["problem"]) =>
  new TableUnsuitable(table === DdlEntries.table.relation ? { problem } : { problem, table })

/** Why a table cannot be served, whatever is made beside it. */
const unsuitable = (
  { facts, schema }: PgCatalog.Catalog,
  objects: ReadonlyArray<DdlObject>
): TableUnsuitable | undefined => {
  if (schema === null || schema === "pg_catalog") return new TableUnsuitable({ problem: "NoSchema" })
  const found = facts.unsuitable.find(({ table }) =>
    objects.some((object) => object.kind === "relation" && object.relation === table)
  )
  if (found !== undefined) return unsuitableTable(found.table, found.problem)
  return PgCatalog.holdsManyTenants(facts) ? new TableUnsuitable({ problem: "ManyTenants" }) : undefined
}

const isPermissionDenied = (error: EntryStoreError) => error.reason._tag === "Refused" && error.reason.code === "42501"

/** The primary key cannot be made anew: two rows have one name. */
const isNameTwice = ({ reason }: EntryStoreError, { found }: Inspected) =>
  reason._tag === "Refused" && reason.code === "23505" && found.some(({ object }) => object === DdlEntries.primaryKey)

/**
 * The table whose columns the rows do not let be made anew, or of another type: a value is lost, or is none of those.
 */
const tableOfLostColumns = ({ reason }: EntryStoreError, { found }: Inspected): string | undefined =>
  reason._tag === "Refused" && /^(22|23502|0A000|428)/.test(reason.code ?? "")
    ? [DdlEntries, DdlHistoryTable].find(({ columns }) => found.some(({ object }) => object === columns))?.table
        .relation
    : undefined

const isUnanswered = (error: EntryStoreError) => error.reason._tag === "Unanswered"

export interface PgSchemaBootstrapOptions {
  /** Whether the tenant is followed once its database is prepared: on that session, then. */
  readonly followed: boolean
  /** Whether the database is to have a history. Default: `true`. */
  readonly history?: boolean | undefined
}

const make = Effect.fnUntraced(function* ({ followed, history = true }: PgSchemaBootstrapOptions) {
  const databases = yield* PgDatabases
  const run = followed ? databases.runAhead : databases.run
  const objects = Ddl.objects(history)

  const failed = (error: EntryStoreError): SchemaBootstrapErrorReason => error.reason

  const failedFor = (tenant: TenantId) => (reason: SchemaBootstrapErrorReason) =>
    SchemaBootstrapError.of(tenant, reason)

  const look = (tenant: TenantId) => Effect.mapError(run(tenant, PgCatalog.read), failed)

  const inspected = (catalogue: PgCatalog.Catalog): Inspected => {
    const schema = catalogue.schema ?? "public"
    return { catalogue, schema, found: PgSchemaFindings.findings(objects, { ...catalogue, schema }) }
  }

  /** What is not in order. Fails if the table cannot be served, or the role may not use it. */
  const inspect = (tenant: TenantId, readOnly: boolean) =>
    Effect.flatMap(look(tenant), (catalogue): Effect.Effect<Inspected, SchemaBootstrapErrorReason> => {
      const reason = unsuitable(catalogue, objects)
      if (reason !== undefined) return Effect.fail(reason)
      const result = inspected(catalogue)
      const usable = catalogue.readable && (readOnly || catalogue.writable)
      // What is missing comes first: its SQL makes objects, on which rights are granted then.
      return usable || losesIn(result) ? Effect.succeed(result) : Effect.fail(denied(catalogue))
    })

  const losesIn = ({ found }: Inspected) => found.some(({ loses }) => loses)

  // Looks again under the lock: another process may have done the work meanwhile.
  const mend = Effect.fnUntraced(function* (query: Query, secrets: ReadonlyArray<KeyName>) {
    yield* query(settings, [SecretNames.encode(secrets)])
    yield* query(lock)
    const now = inspected(yield* PgCatalog.read(query))
    if (now.found.length > 0) yield* query(DdlScript.statement(objectsOf(now.found)))
    return { changed: names(now.found), warnings: [] }
  })

  return SchemaBootstrap.of({
    abandon: databases.abandonAhead,
    isPrepared: (tenant, seeds) =>
      run(tenant, (query) => PgSchemaCheck.findsEverything(query, seeds, objects)).pipe(
        // Unlike the glance, the look does not wait for a transaction that holds the table, and what mends a schema
        // waits longer.
        Effect.catchIf(isUnanswered, () => Effect.succeed(false)),
        Effect.mapError(SchemaBootstrapError.from)
      ),
    ensure: (tenant, secrets = []) =>
      Effect.gen(function* (): Effect.fn.Return<Ensured, SchemaBootstrapErrorReason> {
        const result = yield* inspect(tenant, false)
        if (result.found.length === 0) return { changed: [], warnings: [] }
        // A role that cannot mend what only warns does not take a connection to find that out, each time.
        if (!losesIn(result) && !result.catalogue.mayMend) return { changed: [], warnings: warningsOf(result) }
        return yield* databases
          .transaction(tenant, (query) => mend(query, secrets))
          .pipe(
            Effect.catch((error): Effect.Effect<Ensured, SchemaBootstrapErrorReason> => {
              if (isNameTwice(error, result)) return Effect.fail(new EntryStoreError.Refused({ code: "42P10" }))
              const table = tableOfLostColumns(error, result)
              if (table !== undefined) return Effect.fail(unsuitableTable(table, "ColumnsLost"))
              if (!isPermissionDenied(error)) return Effect.fail(failed(error))
              return losesIn(result)
                ? Effect.fail(notAsItShouldBe(result, deniedMending(result)))
                : Effect.succeed({ changed: [], warnings: warningsOf(result) })
            })
          )
      }).pipe(Effect.mapError(failedFor(tenant))),
    verify: (tenant, { readOnly = false } = {}) =>
      Effect.gen(function* (): Effect.fn.Return<Verified, SchemaBootstrapErrorReason> {
        const result = yield* inspect(tenant, readOnly)
        if (losesIn(result)) return yield* notAsItShouldBe(result)
        return { warnings: warningsOf(result) }
      }).pipe(Effect.mapError(failedFor(tenant))),
    seed: (tenant, seeds) =>
      PgSeeding.seed(seeds, {
        run: (statement) => run(tenant, statement),
        runInTransaction: (statements) => databases.runInTransaction(tenant, statements)
      }).pipe(
        Effect.catch((error) =>
          isPermissionDenied(error)
            ? Effect.flatMap(look(tenant), (catalogue) => Effect.fail(denied(catalogue)))
            : Effect.fail(failed(error))
        ),
        Effect.mapError(failedFor(tenant))
      )
  })
})

export const layer = (options: PgSchemaBootstrapOptions) => Layer.effect(SchemaBootstrap, make(options))
