/**
 * Handles into the scopes: a read is a few field loads, with no look-up in between.
 *
 * A handle points at a scope and looks for another one only when that one is retired, so nobody keeps a list of handles, and a
 * tenant that comes back costs nothing until somebody reads.
 */
import type * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import type { Entry } from "../../schema/Entry.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { ConfigHandle } from "../../services/ConfigHandle.ts"
import { entryOf, type Replica } from "./Replica.ts"

/** Where a handle finds the scope that took the place of a retired one. */
export interface Successors {
  readonly get: (tenant: TenantId) => Replica | undefined
  readonly isLive: (scope: Replica) => boolean
  readonly clock: Clock.Clock
}

/** What was known when the handle was made, and when that was, in milliseconds of the monotonic clock. */
export interface Made<A> {
  readonly entry: Entry<A>
  readonly time: number
}

/** A handle of a slot. Until a scope knows as much, it answers what was known when it was made. */
export const make = <A>(scopes: Successors, tenant: TenantId, slot: number, made: Made<A>): ConfigHandle<A> =>
  new LiveHandle(scopes, tenant, slot, made)

class LiveHandle<A> extends Effectable.Class<A> implements ConfigHandle<A> {
  readonly tenant: TenantId
  readonly #scopes: Successors
  readonly #slot: number
  readonly #made: Made<A>
  #scope: Replica | undefined

  constructor(scopes: Successors, tenant: TenantId, slot: number, made: Made<A>) {
    super()
    this.tenant = tenant
    this.#scopes = scopes
    this.#slot = slot
    this.#made = made
    this.#scope = undefined
    this.#follow()
  }

  get current(): A {
    const scope = this.#scope
    return scope === undefined || scope.retired ? this.entry.value : (scope.values[this.#slot] as A)
  }

  get entry(): Entry<A> {
    const scope = this.#follow()
    if (scope === undefined) return { ...this.#made.entry, stale: true }
    const stale = scope.retired || !this.#scopes.isLive(scope)
    return entryOf(scope.snapshot, this.#slot, stale, this.#scopes.clock) as Entry<A>
  }

  override asEffect(): Effect.Effect<A> {
    return Exit.succeed(this.current)
  }

  // An iterator that is done at once hands its value to `yield*` without the generator ever being left.
  override [Symbol.iterator](): Effect.EffectIterator<ConfigHandle<A>> {
    return new Done(this.current)
  }

  #follow(): Replica | undefined {
    if (this.#scope === undefined || this.#scope.retired) {
      const next = this.#scopes.get(this.tenant)
      if (next !== undefined && this.#isNewer(next.snapshot)) this.#scope = next
    }
    return this.#scope
  }

  // A scope that was just made holds defaults that nobody confirmed; its first read began after the former scope was retired.
  // But it may have begun before the entry that this handle was made with was read, and then it counts once it knows as much.
  #isNewer(snapshot: Snapshot.State): boolean {
    const slot = snapshot.slots[this.#slot]!
    if (!snapshot.loaded && slot.touched === 0) return false
    const { entry, time } = this.#made
    return this.#scope !== undefined || Snapshot.revision(slot) >= entry.revision || snapshot.confirmedAt > time
  }
}

class Done<A> {
  readonly done = true
  readonly value: A
  constructor(value: A) {
    this.value = value
  }
  next(): IteratorReturnResult<A> {
    return this
  }
}
