/**
 * Brings up the schema in PostgreSQL, and seeds defaults.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ddl from "../../schema/Ddl.ts"
import * as DdlObjects from "../../schema/DdlObjects.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import {
  BootstrapFailed,
  PermissionDenied,
  SchemaBootstrapError,
  type SchemaBootstrapErrorReason,
  SchemaMissing,
  SchemaOutdated
} from "../../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query } from "../../services/Connector.ts"
import { SchemaBootstrap } from "../../services/SchemaBootstrap.ts"
import * as PgCatalog from "./PgCatalog.ts"
import { PgDatabases } from "./PgDatabases.ts"
import * as PgPreparedCheck from "./PgPreparedCheck.ts"
import * as PgSeeding from "./PgSeeding.ts"

/**
 * The key of the advisory lock that serialises bootstraps of one database: the first 8 bytes of "systempl" as a number, so
 * that nobody else is likely to have chosen it.
 */
const lock = "SELECT pg_advisory_xact_lock(8320808730298773612)"

/**
 * What is made must lie beside the table, which need not be in the first schema of the path: a role with a schema of its own
 * name finds a table in `public` all the same.
 */
const besideTheTable = "SELECT set_config('search_path', $1::text || ', pg_temp', true)"

/** One transaction that holds the table must not make the schema work, and every writer behind it, wait for a minute. */
const lockTimeout = "SELECT set_config('lock_timeout', '10s', true)"

const pathTo = ({ elsewhere, schema }: PgCatalog.Catalog): string =>
  elsewhere && schema !== null ? `SET search_path TO ${schema};\n\n` : ""

const notAsItShouldBe = (
  catalogue: PgCatalog.Catalog,
  missing: ReadonlyArray<DdlObjects.Part>
): SchemaMissing | SchemaOutdated => {
  const fields = { parts: missing.map((part) => part.name), sql: pathTo(catalogue) + DdlObjects.script(missing) }
  return catalogue.table ? new SchemaOutdated(fields) : new SchemaMissing(fields)
}

const denied = ({ role }: PgCatalog.Catalog) => new PermissionDenied({ sql: Ddl.grants(role) })

const bootstrapError = (tenant: TenantId) => (reason: SchemaBootstrapErrorReason) =>
  new SchemaBootstrapError({ tenant, reason })

const isPermissionDenied = (error: EntryStoreError) => error.reason._tag === "Refused" && error.reason.code === "42501"

const isUnanswered = (error: EntryStoreError) => error.reason._tag === "Unanswered"

export interface PgSchemaBootstrapOptions {
  /** Whether the tenant is followed once its database is prepared: on that session, then. */
  readonly followed: boolean
}

const make = Effect.fnUntraced(function* ({ followed }: PgSchemaBootstrapOptions) {
  const databases = yield* PgDatabases
  const run = followed ? databases.runAhead : databases.run

  const failed = (error: EntryStoreError) => new BootstrapFailed({ cause: error.reason })

  const look = (tenant: TenantId) => Effect.mapError(run(tenant, PgCatalog.read), failed)

  /** What is missing; `None` where nothing is. Fails where the role may not use what is there. */
  const inspect = Effect.fnUntraced(function* (tenant: TenantId) {
    const catalogue = yield* look(tenant)
    const missing = PgCatalog.missingParts(catalogue)
    if (missing.length > 0) return Option.some({ catalogue, missing })
    return catalogue.permitted ? Option.none() : yield* Effect.fail(denied(catalogue))
  })

  // Looks again under the lock: another process may have done the work meanwhile.
  const mend = Effect.fnUntraced(function* (query: Query) {
    yield* query(lockTimeout)
    yield* query(lock)
    const catalogue = yield* PgCatalog.read(query)
    const missing = PgCatalog.missingParts(catalogue)
    if (catalogue.table) yield* query(besideTheTable, [catalogue.schema])
    yield* Effect.forEach(missing, (part) => Effect.forEach(part.statements, (sql) => query(sql)), { discard: true })
    return missing.map((part) => part.name)
  })

  return SchemaBootstrap.of({
    isPrepared: (tenant, seeds) =>
      run(tenant, (query) => PgPreparedCheck.findsEverything(query, seeds)).pipe(
        // Unlike the glance, the look waits for nobody who holds the table, and what mends a schema waits for longer.
        Effect.catchIf(isUnanswered, () => Effect.succeed(false)),
        Effect.mapError((error) => bootstrapError(tenant)(failed(error)))
      ),
    ensure: (tenant) =>
      Effect.gen(function* () {
        const inspected = yield* inspect(tenant)
        if (Option.isNone(inspected)) return []
        const { catalogue, missing } = inspected.value
        return yield* databases
          .transaction(tenant, mend)
          .pipe(
            Effect.mapError((error) =>
              isPermissionDenied(error) ? notAsItShouldBe(catalogue, missing) : failed(error)
            )
          )
      }).pipe(Effect.mapError(bootstrapError(tenant))),
    verify: (tenant) =>
      Effect.gen(function* () {
        const inspected = yield* inspect(tenant)
        if (Option.isSome(inspected)) return yield* notAsItShouldBe(inspected.value.catalogue, inspected.value.missing)
      }).pipe(Effect.mapError(bootstrapError(tenant))),
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
        Effect.mapError(bootstrapError(tenant))
      )
  })
})

// A layer of its own for each plane: one value would be built once, and two planes in one program would share it.
export const layer = (options: PgSchemaBootstrapOptions) => Layer.effect(SchemaBootstrap, make(options))
