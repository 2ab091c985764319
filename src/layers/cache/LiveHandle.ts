/**
 * Handles into the replicas: a read is a few field loads, with no look-up in between.
 *
 * A handle points at a replica, and looks for another one only when that one is retired. So there is no list of
 * handles, and a tenant that comes back costs nothing until a handle is read.
 */
import type * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import type { Entry } from "../../schema/Entry.ts"
import * as ReaderOwned from "../../schema/ReaderOwned.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import * as SnapshotSlot from "../../schema/SnapshotSlot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { ConfigHandle } from "../../services/ConfigHandle.ts"
import { entryOf } from "../store/Entries.ts"
import type { Replica } from "./Replica.ts"

/** Where a handle finds the replica that took the place of a retired one. */
export interface Successors {
  readonly get: (tenant: TenantId) => Replica | undefined
  readonly isLive: (replica: Replica) => boolean
  readonly clock: Clock.Clock
}

/** What was known when the handle was made, and when that was, in milliseconds of the monotonic clock. */
export interface Made<A> {
  readonly entry: Entry<A>
  readonly time: number
}

/** A handle of a slot. Until a replica knows as much, it answers what was known when it was made. */
export const make = <A>(replicas: Successors, tenant: TenantId, slot: number, made: Made<A>): ConfigHandle<A> =>
  new LiveHandle(replicas, tenant, slot, made)

class LiveHandle<A> extends Effectable.Class<A> implements ConfigHandle<A> {
  readonly tenant: TenantId
  readonly #replicas: Successors
  readonly #slot: number
  readonly #made: Made<A>
  #replica: Replica | undefined

  constructor(replicas: Successors, tenant: TenantId, slot: number, made: Made<A>) {
    super()
    this.tenant = tenant
    this.#replicas = replicas
    this.#slot = slot
    this.#made = made
    this.#replica = undefined
    this.#follow()
  }

  get current(): A {
    const replica = this.#replica
    if (replica === undefined || replica.retired) return this.entry.value
    replica.hits++
    return ReaderOwned.handOut<A>(replica.values[this.#slot])
  }

  get entry(): Entry<A> {
    const replica = this.#follow()
    if (replica === undefined) return { ...this.#made.entry, stale: true }
    replica.hits++
    const stale = replica.retired || !this.#replicas.isLive(replica)
    return entryOf(replica.snapshot, this.#slot, stale, this.#replicas.clock) as Entry<A>
  }

  override asEffect(): Effect.Effect<A> {
    return Exit.succeed(this.current)
  }

  // An iterator that is done at once hands its value to `yield*` without the generator ever being left.
  override [Symbol.iterator](): Effect.EffectIterator<ConfigHandle<A>> {
    return new Done(this.current)
  }

  #follow(): Replica | undefined {
    if (this.#replica === undefined || this.#replica.retired) {
      const next = this.#replicas.get(this.tenant)
      if (next !== undefined && this.#isNewer(next.snapshot)) this.#replica = next
    }
    return this.#replica
  }

  // A replica that was just made holds defaults that are not confirmed; its first read began after the former replica
  // was retired. But it may have begun before the entry that this handle was made with was read, and then it counts
  // once it knows as much.
  #isNewer(snapshot: Snapshot.State): boolean {
    const slot = snapshot.slots[this.#slot]!
    if (!snapshot.loaded && slot.publishedAt === 0) return false
    const { entry, time } = this.#made
    if (this.#replica !== undefined || SnapshotSlot.revision(slot) >= entry.revision) return true
    return Snapshot.confirmedAt(snapshot, this.#slot) > time
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
