/**
 * The series of one value of `tenant_id`, for as long as a tenant is counted in them.
 *
 * What happens now and then is counted when it happens. What changes all the time (hits, age, entries) is looked at
 * when metrics are read, and costs nothing otherwise: such series are registered, not updated.
 *
 * Counters begin at zero before anything has happened, so that the first event shows as an increase.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type * as Snapshot from "../../schema/Snapshot.ts"
import type * as SnapshotSlot from "../../schema/SnapshotSlot.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import * as Instruments from "./Instruments.ts"

/** What is looked at when metrics are read: a tenant's replica. */
export interface Observed {
  /** Reads that the snapshot answered since this was last looked at. */
  hits: number
  readonly snapshot: Pick<Snapshot.State, "slots" | "confirmedAt">
}

/** A tenant as it is counted. */
export interface Counted {
  /** Since when the tenant is wanted active, by the monotonic clock; `undefined` while it is not. */
  wantedSince: number | undefined
  observed: Observed | undefined
  /** The size of its history; `undefined` if that is not known, or there is none. */
  historyBytes: number | undefined
}

/**
 * A counter that is looked at when metrics are read: kept as a metric of its own, it would take four times the memory.
 */
class Count {
  #count: number
  readonly #registration: Metric.Registration

  constructor(counter: Metric.Counter<number>, context: Context.Context<never>) {
    // A counter belongs to its name: another plane of this process may have counted in it before.
    this.#count = counter.valueUnsafe(context).count
    this.#registration = register(counter, context, () => ({ count: this.#count, incremental: true }))
  }

  add(count: number): void {
    this.#count += count
  }

  remove(): void {
    this.#registration.remove()
  }
}

export class TenantSeries {
  readonly label: string
  readonly #context: Context.Context<never>
  readonly #clock: Clock.Clock
  readonly #tenants = new Set<Counted>()
  readonly #counts = new Map<Instruments.Of<Metric.Counter<number>>, Count>()
  #entries: Metric.Registration | undefined
  #staleness: Metric.Registration | undefined
  #historyBytes: Metric.Registration | undefined
  #propagation: Metric.Histogram<number> | undefined
  #hits = 0

  constructor(label: string, context: Context.Context<never>, clock: Clock.Clock) {
    this.label = label
    this.#context = context
    this.#clock = clock
  }

  join(tenant: Counted): void {
    if (this.#tenants.size === 0) this.#open()
    this.#tenants.add(tenant)
    this.refresh()
  }

  /**
   * Says whether no tenant is left. The series go with the last tenant; `keepCounters` leaves the counters, for a last
   * export.
   */
  leave(tenant: Counted, { keepCounters }: { readonly keepCounters: boolean }): boolean {
    this.#collect(tenant)
    this.#tenants.delete(tenant)
    this.refresh()
    if (this.#tenants.size > 0) return false
    this.#entries?.remove()
    if (!keepCounters) this.#drop()
    return true
  }

  #drop(): void {
    for (const count of this.#counts.values()) count.remove()
    // Also what an earlier plane of this process left for a last export.
    for (const of of Instruments.all) {
      if (!this.#counts.has(of as Instruments.Of<Metric.Counter<number>>)) {
        Metric.removeUnsafe(of(this.label), this.#context)
      }
    }
  }

  /**
   * To be called when `wantedSince` or `historyBytes` of a tenant has changed. No age is shown while no tenant is to be
   * kept current, and no size while none is known.
   */
  refresh(): void {
    this.#staleness = this.#shown(this.#staleness, isWanted, () =>
      register(Instruments.staleness(this.label), this.#context, () => this.#oldest())
    )
    this.#historyBytes = this.#shown(this.#historyBytes, hasHistory, () =>
      register(Instruments.historyBytes(this.label), this.#context, () => this.#sumHistories())
    )
  }

  /** A gauge that is there while one of the tenants has something to show in it. */
  #shown(
    gauge: Metric.Registration | undefined,
    shows: (tenant: Counted) => boolean,
    make: () => Metric.Registration
  ): Metric.Registration | undefined {
    for (const tenant of this.#tenants) if (shows(tenant)) return gauge ?? make()
    gauge?.remove()
    return undefined
  }

  notified(op: Instruments.Operation, count: number): void {
    this.#count(Instruments.notified[op]).add(count)
  }

  disconnected(reason: Instruments.DisconnectReason): void {
    this.#count(Instruments.disconnected[reason]).add(1)
  }

  reconciled(reason: Instruments.ReconcileReason): void {
    this.#count(Instruments.reconciled[reason]).add(1)
  }

  missed(): void {
    this.#count(Instruments.reads.miss).add(1)
  }

  rejected(rows: number): void {
    this.#count(Instruments.rejected).add(rows)
  }

  changed(origin: Instruments.Origin, keys: number): void {
    this.#count(Instruments.changes[origin]).add(keys)
  }

  unrecorded(rows: number): void {
    this.#count(Instruments.unrecorded).add(rows)
  }

  dropped(keys: number): void {
    this.#count(Instruments.dropped).add(keys)
  }

  warmLoaded(seconds: number): void {
    Instruments.warmload(this.label).updateUnsafe(seconds, this.#context)
  }

  propagated(seconds: number): void {
    this.#propagation ??= Instruments.propagation(this.label)
    this.#propagation.updateUnsafe(seconds, this.#context)
  }

  #open(): void {
    for (const counter of fromTheStart) this.#count(counter)
    const hits = Instruments.reads.hit(this.label)
    this.#hits = hits.valueUnsafe(this.#context).count
    register(hits, this.#context, () => this.#collectHits())
    this.#entries = register(Instruments.entries(this.label), this.#context, () => this.#countEntries())
  }

  #count(counter: Instruments.Of<Metric.Counter<number>>): Count {
    const known = this.#counts.get(counter)
    if (known !== undefined) return known
    const count = new Count(counter(this.label), this.#context)
    this.#counts.set(counter, count)
    return count
  }

  #collect({ observed }: Counted): void {
    if (observed === undefined) return
    this.#hits += observed.hits
    observed.hits = 0
  }

  #collectHits() {
    for (const tenant of this.#tenants) this.#collect(tenant)
    return { count: this.#hits, incremental: true }
  }

  #countEntries() {
    let value = 0
    for (const { observed } of this.#tenants) if (observed !== undefined) value += stored(observed)
    return { value }
  }

  #sumHistories() {
    let value = 0
    for (const { historyBytes } of this.#tenants) value += historyBytes ?? 0
    return { value }
  }

  /**
   * The age of the tenant that waits longest for being confirmed: since the last time, or else since it was activated.
   */
  #oldest() {
    const now = MonotonicClock.millisOf(this.#clock)
    let value = 0
    for (const { wantedSince, observed } of this.#tenants) {
      if (wantedSince === undefined) continue
      value = Math.max(value, (now - Math.max(wantedSince, observed?.snapshot.confirmedAt ?? 0)) / 1000)
    }
    return { value }
  }
}

const isWanted = ({ wantedSince }: Counted) => wantedSince !== undefined
const hasHistory = ({ historyBytes }: Counted) => historyBytes !== undefined

const { changes, dropped, notified, reads, reconciled, rejected, unrecorded } = Instruments
const fromTheStart = [
  notified.upsert,
  notified.delete,
  reconciled.connect,
  reconciled.verify,
  reads.miss,
  changes.own,
  changes.other,
  rejected,
  unrecorded,
  dropped
]

const register = <State>(metric: Metric.Metric<never, State>, context: Context.Context<never>, get: () => State) =>
  Metric.registerUnsafe(metric, context, { get, update: () => {}, modify: () => {} })

/** Snapshots share their slots while no key changes. */
const counts = new WeakMap<ReadonlyArray<SnapshotSlot.Slot>, number>()

const stored = ({ snapshot: { slots } }: Observed): number => {
  const known = counts.get(slots) ?? slots.filter(({ inForce }) => inForce !== undefined).length
  counts.set(slots, known)
  return known
}
