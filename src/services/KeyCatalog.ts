/**
 * Which keys there are, and what may be stored for them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ConfigError } from "../schema/ConfigError.ts"
import type { KeyName } from "../schema/KeyName.ts"
import type { Catalog, CatalogKey } from "../schema/operator/KeyDeclaration.ts"
import type { TenantId } from "../schema/TenantId.ts"

/**
 * The catalogue of the current tenant's keys, as all applications that use its database declare them.
 *
 * **Details**
 *
 * An application writes its declarations when it activates a tenant, if they differ from what the database holds; tools
 * then know the keys without the application's code. A database without a catalogue, or a role that may not read it,
 * shows what this process declares. Reading it is one statement, which fails as `Config.get` does if the database does
 * not answer within 5 seconds.
 *
 * @category services
 * @since 0.1.0
 */
export class KeyCatalog extends Context.Service<
  KeyCatalog,
  {
    /** All declared keys, and the stored entries that no application declares. */
    readonly read: Effect.Effect<Catalog, ConfigError>
    /** One key; fails with `UnknownKey` if no application declares it. */
    readonly get: (key: KeyName) => Effect.Effect<CatalogKey, ConfigError>
    /**
     * Writes what this process declares into a tenant's database, if that differs. It never fails: what is refused is
     * logged once for each tenant and cause.
     */
    readonly declare: (tenant: TenantId) => Effect.Effect<void>
  }
>()("effect-systemplane/services/KeyCatalog") {
  /** See the member of the same name. */
  static readonly read = KeyCatalog.use((catalog) => catalog.read)

  /** See the member of the same name. */
  static readonly get = (key: KeyName) => KeyCatalog.use((catalog) => catalog.get(key))
}
