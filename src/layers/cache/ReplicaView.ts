/**
 * A scope as reads look at it. Whoever keeps one keeps nothing of a tenant that was removed.
 */
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import { notInMemory, type TenantView } from "../../services/TenantCache.ts"
import type { Replica } from "./Replica.ts"

/** What all scopes of a plane have in common. */
export interface Plane {
  readonly mayAnswer: (scope: Replica) => boolean
  readonly slotOf: (key: ConfigKey.Any) => number | undefined
}

export class ReplicaView implements TenantView {
  readonly #plane: Plane
  #scope: Replica | undefined

  constructor(plane: Plane, scope: Replica) {
    this.#plane = plane
    this.#scope = scope
  }

  retire(): void {
    this.#scope = undefined
  }

  // What every read runs.
  peek<A>(key: ConfigKey<A>): A | typeof notInMemory {
    const scope = this.#scope
    if (scope === undefined || !this.#plane.mayAnswer(scope)) return notInMemory
    const slot = this.#plane.slotOf(key)
    if (slot === undefined) return notInMemory
    scope.hits++
    // Not from the slot: the values of many tenants lie closer together than their slots, which no cache of a processor holds.
    return scope.values[slot] as A
  }
}
