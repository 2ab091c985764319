/**
 * Preparing a tenant's database: on its activation, or before its first use if nothing activates the tenant.
 *
 * A seed is a convenience for those who look at a database with SQL, and no read depends on it. So a default that
 * cannot be written is logged, once for each tenant and cause, and the tenant goes on.
 */
import * as Cache from "effect/Cache"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { show } from "../../schema/KeyName.ts"
import type { SchemaBootstrapError, SchemaBootstrapErrorReason } from "../../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { KeyCatalog } from "../../services/KeyCatalog.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { type RefusedSeed, SchemaBootstrap } from "../../services/SchemaBootstrap.ts"
import * as ReportedOnce from "./ReportedOnce.ts"

export interface DatabasePreparationOptions {
  readonly bootstrap: "ensure" | "verify" | "skip"
  readonly seedDefaults: boolean
}

/** Prepares a tenant's database each time it runs, and returns what an operator should mend there. */
export const prepare = Effect.fnUntraced(function* (options: DatabasePreparationOptions) {
  const bootstrap = yield* SchemaBootstrap
  const registry = yield* KeyRegistry

  const seeds = options.seedDefaults ? registry.seeds : []
  const secrets = registry.keys.filter(({ secret }) => secret)
  const reported = ReportedOnce.make<string>()
  const logOnce = (tenant: TenantId, annotations: Readonly<Record<string, unknown>>) =>
    Effect.suspend(() => {
      if (!reported.isNew(tenant, JSON.stringify(annotations))) return Effect.void
      return Effect.logWarning("Defaults cannot be stored as rows; they are in force all the same").pipe(
        Effect.annotateLogs({ tenant, ...annotations })
      )
    })
  const seed = (tenant: TenantId): Effect.Effect<void, SchemaBootstrapError> =>
    seeds.length === 0
      ? Effect.void
      : bootstrap.seed(tenant, seeds).pipe(
          Effect.flatMap(({ refused }) => (refused.length === 0 ? Effect.void : logOnce(tenant, causesOf(refused)))),
          Effect.catchIf(isOnlySeeding, ({ reason }) => logOnce(tenant, { cause: reason.message }))
        )
  const catalog = yield* Effect.serviceOption(KeyCatalog)
  const declare = Option.isSome(catalog) ? catalog.value.declare : () => Effect.void
  const seedAndDeclare = (tenant: TenantId) => Effect.andThen(seed(tenant), declare(tenant))
  // A database that is not even seeded is asked nothing before its feed connects.
  if (options.bootstrap === "skip") {
    return (tenant: TenantId) => Effect.as(seeds.length === 0 ? Effect.void : seedAndDeclare(tenant), noWarnings)
  }

  // A process that writes no default may be one that only reads, and then needs no more than that.
  const prepareSchema = {
    ensure: (tenant: TenantId) => bootstrap.ensure(tenant, secrets),
    verify: (tenant: TenantId) => bootstrap.verify(tenant, { readOnly: seeds.length === 0 })
  }[options.bootstrap]

  return (tenant: TenantId): Effect.Effect<ReadonlyArray<string>, SchemaBootstrapError> =>
    Effect.flatMap(bootstrap.isPrepared(tenant, seeds), (prepared) =>
      prepared
        ? Effect.as(declare(tenant), noWarnings)
        : Effect.flatMap(prepareSchema(tenant), ({ warnings }) => Effect.as(seedAndDeclare(tenant), warnings))
    )
})

/** The reasons of a statement that reached the database. */
const answered = new Set<SchemaBootstrapErrorReason["_tag"]>([
  "PermissionDenied",
  "Refused",
  "Unanswered",
  "NotCommitted"
])

/**
 * Whether the database may well be read all the same: it answered, or it was this statement that it left without an
 * answer.
 */
const isOnlySeeding = ({ reason }: SchemaBootstrapError): boolean => answered.has(reason._tag)

/** At most this many keys are named in one line. */
const mostNamed = 20

const causesOf = (refused: ReadonlyArray<RefusedSeed>) => ({
  keys: refused.slice(0, mostNamed).map((name) => `${show(name)} (${name.code})`),
  ...(refused.length > mostNamed ? { others: refused.length - mostNamed } : {}),
  cause:
    "the server refused them: a constraint, or a trigger on the table that raises or changes them (SP002), or a character that its encoding lacks"
})

const noWarnings: ReadonlyArray<string> = []

/** Databases that are known to be prepared. One that is forgotten is looked at once more. */
const mostPrepared = 10_000

/** What runs before each use of a tenant's database: it prepares it once, or again after it failed. */
export const make = Effect.fnUntraced(function* (options: DatabasePreparationOptions) {
  if (options.bootstrap === "skip" && !options.seedDefaults) return () => Effect.succeed(noWarnings)

  const prepared = yield* Cache.makeWith(yield* prepare(options), {
    capacity: mostPrepared,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero)
  })
  return (tenant: TenantId): Effect.Effect<ReadonlyArray<string>, SchemaBootstrapError> => Cache.get(prepared, tenant)
})
