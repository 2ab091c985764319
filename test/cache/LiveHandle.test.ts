import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TenantId } from "effect-systemplane"
import * as LiveHandle from "../../src/layers/cache/LiveHandle.ts"
import * as Replica from "../../src/layers/cache/Replica.ts"
import * as Entries from "../../src/layers/store/Entries.ts"
import * as Snapshot from "../../src/schema/Snapshot.ts"
import { Limit } from "../support/keys.ts"

const tenant = TenantId.make("acme")

const rowAt = (revision: number) => ({
  value: revision * 10,
  revision,
  updatedAt: 0,
  updatedBy: "stranger",
  fingerprint: BigInt(revision)
})

const clock = Effect.runSync(Clock.Clock)

/** The scopes of a plane, as a handle sees them. */
const scopes = (get: () => Replica.Replica | undefined): LiveHandle.Successors => ({
  get,
  isLive: (scope) => scope.state === "live",
  clock
})

const bounds: Replica.Bounds = { staleAfterFailures: 3, maxStaleness: 30_000 }

const scopeOf = () => Replica.make(tenant, Replica.defaultsOf([Limit]))

/** A whole read that began at `time` and found the key at `revision`; 0: it found no row. */
const load = (scope: Replica.Replica, revision: number, time: number) =>
  Replica.publish(
    scope,
    Snapshot.applyDiff(
      scope.snapshot,
      [{ slot: 0, row: revision === 0 ? undefined : rowAt(revision) }],
      Snapshot.begin(scope.snapshot, time)
    ),
    bounds
  )

describe("a handle that was made from the database's answer, before any replica knew the key", () => {
  const made = { entry: Entries.loneEntry(Limit, rowAt(5), 1_000, clock) as any, time: 2_000 }

  const cases: ReadonlyArray<readonly [string, (scope: Replica.Replica) => void, number]> = [
    ["stays with it while the scope is empty", () => {}, 50],
    ["stays with it if the replica's load may have begun before", (scope) => load(scope, 4, 2_000), 50],
    ["follows a scope that knows as much", (scope) => load(scope, 5, 1_500), 50],
    ["follows a scope that knows more", (scope) => load(scope, 6, 1_500), 60],
    ["follows a load that began later, whatever it found", (scope) => load(scope, 0, 2_001), 600]
  ]
  for (const [name, change, expected] of cases) {
    it(name, () => {
      const scope = scopeOf()
      const handle = LiveHandle.make(
        scopes(() => scope),
        tenant,
        0,
        made
      )
      change(scope)
      assert.strictEqual(handle.current, expected)
      assert.strictEqual(handle.entry.value, expected)
    })
  }

  it("G2: a handle made from the database's answer shows what a write put into a replica that is not loaded yet", () => {
    const scope = scopeOf()
    const handle = LiveHandle.make(
      scopes(() => scope),
      tenant,
      0,
      made
    )
    Replica.publish(
      scope,
      Snapshot.applyRow(scope.snapshot, 0, rowAt(7), Snapshot.begin(scope.snapshot, 2_000)),
      bounds
    )
    assert.strictEqual(handle.current, 70)
  })
})

describe("a handle that was never read before its scope was retired", () => {
  it("a handle that was never read before its replica was retired holds what that knew last", () => {
    const scope = scopeOf()
    const made = { entry: Entries.loneEntry(Limit, undefined, 1_000, clock) as any, time: 1_000 }
    load(scope, 0, 1_000)
    const handle = LiveHandle.make(
      scopes(() => (scope.retired ? undefined : scope)),
      tenant,
      0,
      made
    )
    load(scope, 1, 1_001)
    scope.retired = true
    assert.deepInclude(handle.entry, { value: 10, stale: true })
  })
})
