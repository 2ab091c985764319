/** Which series there are, and what is in them, as any reader of metrics sees it. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { TenantId } from "effect-systemplane"
import * as Telemetry from "../../src/layers/telemetry/Telemetry.ts"
import type { Observed } from "../../src/layers/telemetry/TenantSeries.ts"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import { Burst, Limit } from "../support/keys.ts"
import { type Series, series, valuesOf, withRegistry } from "./Series.ts"

const [acme, globex, initech] = ["acme", "globex", "initech"].map((id) => TenantId.make(id)) as [
  TenantId,
  TenantId,
  TenantId
]

const open = (aggregateTenantThreshold: number) =>
  Effect.map(Layer.build(Telemetry.layer({ aggregateTenantThreshold })), Context.get(Telemetry.Telemetry))

const labels = (all: ReadonlyArray<Series>) => new Set(all.flatMap(({ attributes }) => attributes.tenant_id ?? []))

const namesFor = (all: ReadonlyArray<Series>, label: string) =>
  [...new Set(all.filter(({ attributes }) => attributes.tenant_id === label).map(({ name }) => name))].sort()

/** A replica with this many stored entries, confirmed at a time. */
const observed = (entries: number, confirmedAt: number, hits = 0): Observed => {
  const { slots } = Snapshot.make([Limit, Burst])
  const row = { value: 1, revision: 1, updatedAt: undefined as any, updatedBy: "", fingerprint: 1n }
  return {
    hits,
    snapshot: { slots: slots.map((slot, i) => (i < entries ? { ...slot, inForce: row } : slot)), confirmedAt }
  }
}

/** Those that are there from a tenant's first mention. */
const fromTheStart = [
  "cache_dropped_total",
  "cache_entries",
  "changes_total",
  "get_cache_hits_total",
  "notify_received_total",
  "reconcile_total",
  "rejected_rows_total",
  "staleness_seconds",
  "unrecorded_rows_total"
]

const totals = ["tenants_active", "tenants_wanted"]

describe("telemetry", () => {
  it.effect("counters begin at zero before anything has happened", () =>
    Effect.gen(function* () {
      const telemetry = yield* open(10)
      telemetry.held(acme, "live")
      const all = yield* series
      assert.deepStrictEqual(namesFor(all, "acme"), fromTheStart)
      assert.deepStrictEqual(
        all.filter(({ name, value }) => !totals.includes(name) && value !== 0),
        []
      )
      assert.deepStrictEqual(valuesOf(all, "get_cache_hits_total", "outcome"), { hit: 0, miss: 0 })
      assert.deepStrictEqual(valuesOf(all, "notify_received_total", "op"), { upsert: 0, delete: 0 })
      assert.deepStrictEqual(valuesOf(all, "reconcile_total", "reason"), { connect: 0, verify: 0 })
    }).pipe(Effect.scoped, withRegistry)
  )

  it.effect("hits, entries and age are looked up when metrics are read", () =>
    Effect.gen(function* () {
      const telemetry = yield* open(10)
      yield* TestClock.adjust("10 seconds")
      telemetry.held(acme, "live")
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(valuesOf(yield* series, "staleness_seconds"), { acme: 4 })

      const scope = observed(1, 12_000, 3)
      telemetry.observed(acme, scope)
      for (const _ of ["read twice", "counted once"]) {
        const all = yield* series
        assert.deepStrictEqual(valuesOf(all, "get_cache_hits_total", "outcome"), { hit: 3, miss: 0 })
        assert.deepStrictEqual(valuesOf(all, "cache_entries"), { acme: 1 })
        assert.deepStrictEqual(valuesOf(all, "staleness_seconds"), { acme: 2 })
      }
      scope.hits += 4
      yield* TestClock.adjust("1 minute")
      const all = yield* series
      assert.deepStrictEqual(valuesOf(all, "get_cache_hits_total", "outcome"), { hit: 7, miss: 0 })
      assert.deepStrictEqual(valuesOf(all, "staleness_seconds"), { acme: 62 })
    }).pipe(Effect.scoped, withRegistry)
  )

  it.effect(
    "tenants_active counts live tenants, tenants_wanted those to be live; a suspended one has no age, a removed one no series",
    () =>
      Effect.gen(function* () {
        const telemetry = yield* open(10)
        telemetry.held(acme, "live")
        telemetry.held(globex, "activating")
        for (const state of ["activating", "disconnected", "stale"] as const) {
          telemetry.held(globex, state)
          const all = yield* series
          assert.deepStrictEqual(
            [valuesOf(all, "tenants_active"), valuesOf(all, "tenants_wanted")],
            [{ "": 1 }, { "": 2 }]
          )
        }
        telemetry.held(acme, "suspended")
        const suspended = yield* series
        assert.deepStrictEqual(valuesOf(suspended, "tenants_active"), { "": 0 })
        assert.deepStrictEqual(valuesOf(suspended, "tenants_wanted"), { "": 1 })
        assert.deepStrictEqual(Object.keys(valuesOf(suspended, "staleness_seconds")), ["globex"])
        yield* TestClock.adjust("5 seconds")
        telemetry.held(acme, "live")
        assert.deepStrictEqual(valuesOf(yield* series, "staleness_seconds"), { acme: 0, globex: 5 })

        yield* telemetry.disconnected(acme, "SessionLost")
        yield* telemetry.warmLoaded(acme, 1)
        telemetry.released(acme)
        assert.deepStrictEqual(labels(yield* series), new Set(["globex"]))
        telemetry.released(globex)
        assert.deepStrictEqual(
          (yield* series).map(({ name }) => name),
          totals
        )
      }).pipe(Effect.scoped, withRegistry)
  )

  it.effect("above aggregateTenantThreshold one label stands for all, and below it nothing of it is left", () =>
    Effect.gen(function* () {
      const telemetry = yield* open(2)
      const scopes = { [acme]: observed(1, 3000, 5), [globex]: observed(2, 1000, 7), [initech]: observed(1, 2000) }
      yield* TestClock.adjust("4 seconds")
      const hold = (tenant: TenantId) => {
        telemetry.held(tenant, "live")
        telemetry.observed(tenant, scopes[tenant]!)
      }
      hold(acme)
      yield* telemetry.rejected(acme, 3)
      yield* telemetry.propagated(acme, [0.1])
      hold(globex)
      assert.deepStrictEqual(labels(yield* series), new Set(["acme", "globex"]))

      hold(initech)
      yield* TestClock.adjust("6 seconds")
      for (const tenant of [acme, globex, initech]) {
        yield* telemetry.rejected(tenant, 1)
        scopes[tenant]!.hits += 10
      }
      yield* telemetry.disconnected(globex, "ConnectFailed")
      for (const [i, tenant] of [acme, globex, initech].entries()) telemetry.historySize(tenant, 100 * 2 ** i)
      const above = yield* series
      assert.deepStrictEqual(labels(above), new Set(["aggregate"]))
      assert.deepStrictEqual(valuesOf(above, "tenants_active"), { "": 3 })
      assert.deepStrictEqual(valuesOf(above, "cache_entries"), { aggregate: 4 })
      assert.deepStrictEqual(valuesOf(above, "history_bytes"), { aggregate: 700 })
      // Counted since the label is there, so that what was counted under another one is not counted again.
      assert.deepStrictEqual(valuesOf(above, "rejected_rows_total"), { aggregate: 3 })
      assert.deepStrictEqual(valuesOf(above, "get_cache_hits_total", "outcome"), { hit: 30, miss: 0 })
      // The one that waits longest: since it was activated, if that is later than its last confirmation.
      assert.deepStrictEqual(valuesOf(above, "staleness_seconds"), { aggregate: 6 })

      telemetry.released(initech)
      yield* telemetry.rejected(globex, 4)
      const below = yield* series
      assert.deepStrictEqual(labels(below), new Set(["acme", "globex"]))
      assert.deepStrictEqual(valuesOf(below, "rejected_rows_total"), { acme: 0, globex: 4 })
      assert.deepStrictEqual(valuesOf(below, "cache_entries"), { acme: 1, globex: 2 })
      assert.deepStrictEqual(valuesOf(below, "history_bytes"), { acme: 100, globex: 200 })
      assert.deepStrictEqual(namesFor(below, "acme"), [...fromTheStart, "history_bytes"].sort())
    }).pipe(Effect.scoped, withRegistry)
  )

  it.effect("reads of tenants that were never activated are counted together", () =>
    Effect.gen(function* () {
      const telemetry = yield* open(10)
      telemetry.held(acme, "live")
      yield* telemetry.missed(globex)
      yield* telemetry.missed(initech)
      const all = yield* series
      assert.deepStrictEqual(labels(all), new Set(["acme", "aggregate"]))
      assert.deepStrictEqual(namesFor(all, "aggregate"), ["get_cache_hits_total"])
    }).pipe(Effect.scoped, withRegistry)
  )

  it.effect("the planes of a process are counted together, and each leaves only what is its own", () =>
    Effect.gen(function* () {
      const first = yield* open(10)
      const scope = yield* Scope.make()
      const second = yield* Scope.provide(open(10), scope)
      first.held(acme, "live")
      first.observed(acme, observed(1, 0, 1))
      second.held(acme, "live")
      second.observed(acme, observed(1, 0, 2))
      second.held(globex, "live")
      const both = yield* series
      assert.deepStrictEqual(valuesOf(both, "tenants_active"), { "": 3 })
      assert.deepStrictEqual(valuesOf(both, "cache_entries"), { acme: 2, globex: 0 })

      yield* Scope.close(scope, Exit.void)
      const one = yield* series
      assert.deepStrictEqual(valuesOf(one, "tenants_active"), { "": 1 })
      assert.deepStrictEqual(valuesOf(one, "cache_entries"), { acme: 1 })
      const hits = one.find(({ attributes }) => attributes.tenant_id === "acme" && attributes.outcome === "hit")
      assert.strictEqual(hits?.value, 3)
    }).pipe(Effect.scoped, withRegistry)
  )

  it.effect("once the layer is closed, what was counted stays for a last export, and no gauge does", () =>
    Effect.gen(function* () {
      const count = (hits: number) =>
        Effect.gen(function* () {
          const telemetry = yield* open(10)
          telemetry.held(acme, "live")
          telemetry.observed(acme, observed(2, 0, hits))
          yield* telemetry.missed(acme)
        }).pipe(Effect.scoped)
      yield* count(3)
      const closed = yield* series
      assert.deepStrictEqual(
        new Set(closed.map(({ type }) => type)),
        new Set(["Counter"]),
        closed.map(({ name }) => name).join()
      )
      assert.deepStrictEqual(valuesOf(closed, "get_cache_hits_total", "outcome"), { hit: 3, miss: 1 })
      // A counter belongs to its name, and the next plane goes on with it.
      yield* count(4)
      assert.deepStrictEqual(valuesOf(yield* series, "get_cache_hits_total", "outcome"), { hit: 7, miss: 2 })
    }).pipe(withRegistry)
  )
})
