/**
 * Where the declarations of keys are kept.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { EntryStoreError } from "../schema/EntryStoreError.ts"
import type { Catalog, KeyDeclaration } from "../schema/operator/KeyDeclaration.ts"
import type { TenantId } from "../schema/TenantId.ts"

/**
 * Reads and writes the catalogue of a tenant's database. A role without rights on it, or a database without it, fails
 * with `Refused`.
 *
 * @category services
 * @since 0.1.0
 */
export class KeyDeclarations extends Context.Service<
  KeyDeclarations,
  {
    /**
     * Writes the declarations of an application that differ from what is there. Returns how many did, and how many
     * entries are stored under names that no application declares; their values are not read.
     */
    readonly declare: (
      tenant: TenantId,
      declaredBy: string,
      declarations: ReadonlyArray<KeyDeclaration>
    ) => Effect.Effect<{ readonly written: number; readonly undeclared: number }, EntryStoreError>
    /** All declarations, and the entries without one. */
    readonly read: (tenant: TenantId) => Effect.Effect<Catalog, EntryStoreError>
  }
>()("effect-systemplane/services/KeyDeclarations") {}
