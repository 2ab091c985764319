/**
 * `KeyCatalog` over the declarations in a tenant's database and those of this process.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ConfigError } from "../../schema/ConfigError.ts"
import * as ConfigReasons from "../../schema/ConfigReasons.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import { byName } from "../../schema/KeyName.ts"
import { type Catalog, of } from "../../schema/operator/KeyDeclaration.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { currentTenant } from "../../services/CurrentTenant.ts"
import { KeyCatalog } from "../../services/KeyCatalog.ts"
import { KeyDeclarations } from "../../services/KeyDeclarations.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { Lifetime } from "../runtime/Lifetime.ts"
import { failWith, unknownKey } from "../store/ConfigFailure.ts"
import * as ReportedOnce from "../store/ReportedOnce.ts"
import * as ApplicationCode from "../telemetry/ApplicationCode.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"

export interface DeclaredKeyCatalogOptions {
  /** The tenant if none is set. */
  readonly sole: Option.Option<TenantId>
  /** `application@version` of this process. */
  readonly declaredBy: string
}

/** What a server says that has no catalogue, or does not let this role use it. */
const isRefused = ({ reason }: EntryStoreError) => reason._tag === "Refused"

const make = Effect.fnUntraced(function* ({ declaredBy, sole }: DeclaredKeyCatalogOptions) {
  const store = yield* KeyDeclarations
  const registry = yield* KeyRegistry
  const board = yield* StatusBoard
  const enter = yield* ApplicationCode.entrance
  const lifetime = yield* Lifetime
  const declarations = registry.keys.map(of)
  const hasSecrets = declarations.some(({ secret }) => secret)
  const logged = ReportedOnce.make<string>()

  const own: Catalog = {
    keys: declarations.map((declaration) => ({ ...declaration, declaredBy: [declaredBy] })).sort(byName),
    unknown: []
  }

  const read = Effect.flatMap(currentTenant(Option.getOrUndefined(sole)), (tenant) =>
    store.read(tenant).pipe(
      Effect.catchIf(isRefused, () => Effect.succeed(own)),
      Effect.mapError((error) => new ConfigError({ reason: ConfigReasons.ofRead(error) }))
    )
  ).pipe(lifetime.orClosed, enter)

  return KeyCatalog.of({
    read,
    get: ({ key, namespace }) =>
      Effect.flatMap(read, ({ keys }) => {
        const found = keys.find((each) => each.namespace === namespace && each.key === key)
        return found === undefined ? failWith(unknownKey({ namespace, key })) : Effect.succeed(found)
      }),
    declare: (tenant) =>
      store.declare(tenant, declaredBy, declarations).pipe(
        // Of a tenant that is being brought up: of no other the board knows anything.
        Effect.flatMap(({ undeclared }) =>
          board.get(tenant) === undefined ? Effect.void : board.update(tenant, { undeclared })
        ),
        Effect.catch(({ reason }) => {
          if (!logged.isNew(tenant, reason.message)) return Effect.void
          // What the database does not know to be a secret, its history keeps. The next activation declares it. A
          // database that has no catalogue has no history either.
          return hasSecrets && !(reason._tag === "Refused" && reason.code === "42P01")
            ? Effect.logWarning(
                "The keys are not declared: until they are, the history records values of secrets that are changed by SQL"
              ).pipe(Effect.annotateLogs({ tenant, cause: reason.message }))
            : Effect.logDebug("The catalogue of keys is not written; tools then show older declarations").pipe(
                Effect.annotateLogs({ tenant, cause: reason.message })
              )
        })
      )
  })
})

export const layer = (options: DeclaredKeyCatalogOptions) => Layer.effect(KeyCatalog, make(options))
