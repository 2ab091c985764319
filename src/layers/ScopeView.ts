/**
 * A scope as reads look at it. Whoever keeps one keeps nothing of a tenant that was removed.
 */
import type { ConfigKey } from "../schema/ConfigKey.ts"
import type { Slot } from "../schema/Snapshot.ts"
import type { TenantView } from "../services/TenantCache.ts"
import type { TenantScope } from "./TenantScope.ts"

/** What all scopes of a plane have in common. */
export interface Plane {
  readonly mayAnswer: (scope: TenantScope) => boolean
  readonly slotOf: (key: ConfigKey.Any) => number | undefined
}

export class ScopeView implements TenantView {
  readonly #plane: Plane
  #scope: TenantScope | undefined

  constructor(plane: Plane, scope: TenantScope) {
    this.#plane = plane
    this.#scope = scope
  }

  retire(): void {
    this.#scope = undefined
  }

  // What every read runs.
  peek<A>(key: ConfigKey<A>): { readonly value: A } | undefined {
    const scope = this.#scope
    if (scope === undefined || !this.#plane.mayAnswer(scope)) return undefined
    const slot = this.#plane.slotOf(key)
    if (slot === undefined) return undefined
    scope.hits++
    return scope.snapshot.slots[slot] as Slot & { readonly value: A }
  }
}
