/**
 * The series of one value of `tenant_id`, for as long as a tenant is counted in them.
 *
 * What happens now and then is counted when it happens. What changes all the time (hits, age, entries) is looked at when
 * somebody reads metrics, and costs nothing while nobody does: such series are registered, not updated.
 *
 * Counters begin at zero before anything has happened, so that the first event shows as an increase.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type * as Snapshot from "../schema/Snapshot.ts"
import * as Instruments from "./Instruments.ts"
import * as Monotonic from "./Monotonic.ts"

/** What is looked at when metrics are read: a tenant's scope. */
export interface Observed {
  /** Reads that the snapshot answered since this was last looked at. */
  hits: number
  readonly snapshot: Pick<Snapshot.State, "slots" | "confirmedAt">
}

/** A tenant as it is counted. */
export interface Counted {
  /** Since when somebody wants it live, by the monotonic clock; `undefined` where nobody does. */
  activeSince: number | undefined
  observed: Observed | undefined
}

export type TenantSeries = ReturnType<typeof make>

export const make = (label: string, context: Context.Context<never>, clock: Clock.Clock) => {
  const instruments = Instruments.of(label)
  const tenants = new Set<Counted>()
  const registrations: Array<Metric.Registration> = []
  let ageing: Metric.Registration | undefined
  let hits = 0

  const add = (metric: Metric.Metric<number, unknown>, input: number) => metric.updateUnsafe(input, context)

  const register = <State>(metric: Metric.Metric<never, State>, get: () => State) =>
    Metric.registerUnsafe(metric, context, { get, update: () => {}, modify: () => {} })

  const collect = ({ observed }: Counted) => {
    if (observed === undefined) return
    hits += observed.hits
    observed.hits = 0
  }

  const collectHits = () => {
    tenants.forEach(collect)
    return { count: hits, incremental: true }
  }

  const countEntries = () => {
    let value = 0
    for (const { observed } of tenants) if (observed !== undefined) value += stored(observed)
    return { value }
  }

  /** The age of the tenant that waits longest for being confirmed: since the last time, or else since it was activated. */
  const oldest = () => {
    const now = Monotonic.millisOf(clock)
    let value = 0
    for (const { activeSince, observed } of tenants) {
      if (activeSince === undefined) continue
      value = Math.max(value, (now - Math.max(activeSince, observed?.snapshot.confirmedAt ?? 0)) / 1000)
    }
    return { value }
  }

  // Nobody's age is shown where nobody is to be kept current.
  const refresh = () => {
    for (const { activeSince } of tenants) {
      if (activeSince === undefined) continue
      ageing ??= register(instruments.staleness, oldest)
      return
    }
    ageing?.remove()
    ageing = undefined
  }

  const open = () => {
    const { dropped, notified, reads, reconciled, rejected } = instruments
    for (const counter of [
      notified.upsert,
      notified.delete,
      ...Object.values(reconciled),
      reads.miss,
      rejected,
      dropped
    ]) {
      add(counter, 0)
    }
    // A counter belongs to its name: another plane of this process may have counted in it before.
    hits = reads.hit.valueUnsafe(context).count
    registrations.push(register(reads.hit, collectHits), register(instruments.entries, countEntries))
  }

  const close = (keepCounters: boolean) => {
    for (const registration of registrations.splice(0)) registration.remove()
    if (keepCounters) add(instruments.reads.hit, hits)
    else for (const metric of all(instruments)) Metric.removeUnsafe(metric, context)
  }

  return {
    label,
    join: (tenant: Counted): void => {
      if (tenants.size === 0) open()
      tenants.add(tenant)
      refresh()
    },
    /**
     * Says whether nobody is left. With the last tenant the series go; `keepCounters` leaves those that counted, for a last
     * export.
     */
    leave: (tenant: Counted, { keepCounters }: { readonly keepCounters: boolean }): boolean => {
      collect(tenant)
      tenants.delete(tenant)
      refresh()
      if (tenants.size === 0) close(keepCounters)
      return tenants.size === 0
    },
    /** To be called when `activeSince` of a tenant has changed. */
    refresh,
    notified: (op: Instruments.Operation, count: number) => add(instruments.notified[op], count),
    disconnected: (reason: Instruments.DisconnectReason) => add(instruments.disconnected[reason], 1),
    reconciled: (reason: Instruments.ReconcileReason) => add(instruments.reconciled[reason], 1),
    missed: () => add(instruments.reads.miss, 1),
    rejected: (rows: number) => add(instruments.rejected, rows),
    dropped: (keys: number) => add(instruments.dropped, keys),
    warmLoaded: (seconds: number) => add(instruments.warmload, seconds),
    propagated: (seconds: number) => add(instruments.propagation, seconds)
  }
}

const all = (instruments: Instruments.Instruments): ReadonlyArray<Metric.Metric<never, unknown>> =>
  Object.values(instruments).flatMap((instrument) =>
    Metric.isMetric(instrument) ? [instrument] : Object.values(instrument)
  )

/** Snapshots share their slots while no key changes. */
const counts = new WeakMap<ReadonlyArray<Snapshot.Slot>, number>()

const stored = ({ snapshot: { slots } }: Observed): number => {
  const known = counts.get(slots) ?? slots.filter(({ inForce }) => inForce !== undefined).length
  counts.set(slots, known)
  return known
}
