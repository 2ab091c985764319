/** Each check is fed what it should let pass, and what it should not. */
import { assert, describe, it } from "@effect/vitest"
import type { Arrival } from "../../soak/checks/Arrivals.ts"
import * as Checker from "../../soak/checks/Checker.ts"
import * as Conditions from "../../soak/checks/Conditions.ts"
import * as Convergence from "../../soak/checks/Convergence.ts"
import type { Violation } from "../../soak/checks/Violations.ts"
import type { Final, Observation, Report, Written } from "../../soak/Messages.ts"
import { problemOf } from "../../soak/world/Notifications.ts"

const tenant = "tenant-0001"
const key = "limits/plain"

const row = (stamp: string, revision: number, committed: number, more: Partial<Checker.JournalRow> = {}) => ({
  key,
  stamp,
  revision,
  committed,
  valid: true,
  announced: true,
  by: "foreign",
  transaction: String(committed),
  operation: revision === 0 ? ("delete" as const) : ("update" as const),
  ...more
})

let number = 0

/** Something that was shown at a time, after everything before it. */
const shown = (
  stamp: unknown,
  revision: number | undefined,
  at: number,
  more: Partial<Observation> = {}
): Observation => ({
  _tag: "Observation",
  plane: "plane-a",
  tenant,
  key,
  observer: "reads",
  via: "entry",
  began: ++number,
  ended: ++number,
  askedAt: at,
  answeredAt: at,
  value: { tenant: stamp === "default" ? "" : tenant, stamp },
  revision,
  stale: false,
  confirmedAt: undefined,
  liveSince: undefined,
  ...more
})

const wrote = (stamp: string, outcome: Written["outcome"], more: Partial<Written["writes"][number]> = {}): Written => ({
  _tag: "Written",
  plane: "plane-a",
  tenant,
  writes: [{ key, stamp, ...more }],
  outcome,
  ended: ++number,
  answeredAt: 0
})

const removed = (revision: number) =>
  ({ _tag: "Removed", plane: "plane-a", tenant, key, revision, ended: ++number, answeredAt: 0 }) as const

const checked = (rows: ReadonlyArray<Checker.JournalRow>, reports: ReadonlyArray<Report>, later: typeof rows = []) => {
  const found: Array<Violation> = []
  const arrivals: Array<Arrival> = []
  const checker = Checker.make({
    tenant,
    maxStaleness: 3000,
    tolerance: 500,
    broken: (violation) => found.push(violation),
    arrived: (arrival) => arrivals.push(arrival)
  })
  checker.committed(rows)
  for (const report of reports) checker.check(report)
  checker.committed(later)
  return { checks: found.map(({ check }) => check), arrivals }
}

/** The names of the checks that fail. */
const checks = (...given: Parameters<typeof checked>) => checked(...given).checks

const abc = [row("a", 1, 100), row("b", 2, 200), row("c", 3, 300)]

describe("the checker of a tenant", () => {
  it("the G2 check finds a version that is older than one that was seen before", () => {
    assert.deepStrictEqual(checks(abc, [shown("a", 1, 400), shown("b", 2, 400), shown("c", 3, 400)]), [])
    assert.deepStrictEqual(checks(abc, [shown("b", 2, 400), shown("a", 1, 400)]), ["brokeMonotonic"])
    const deleted = [row("a", 1, 100), row("default", 0, 200)]
    assert.deepStrictEqual(checks(deleted, [shown("a", 1, 400), shown("default", 0, 400)]), [])
    assert.deepStrictEqual(checks(deleted, [shown("a", 1, 400), shown("default", 0, 190)]), ["brokeMonotonic"])
    const inPlace = [row("a", 1, 100), row("a2", 1, 200)]
    assert.deepStrictEqual(checks(inPlace, [shown("a2", 1, 400), shown("a", 1, 400)]), ["brokeMonotonic"])
  })

  it("the G2 check accepts what the history has of a row that does not decode, though a deletion in silence was seen", () => {
    const gone = { ...row("default", 0, 200), announced: false }
    const bad = { ...row("bad", 2, 300), valid: false }
    const seen = [shown("a", 1, 190), shown("default", 0, 290), shown("a", 1, 400)]
    assert.deepStrictEqual(checks([row("a", 1, 100), gone, bad], seen), [])
    assert.deepStrictEqual(checks([row("a", 1, 100), gone], seen), ["brokeMonotonic"])
    assert.deepStrictEqual(checks([row("a", 1, 100), { ...gone, announced: true }, bad], seen), ["brokeMonotonic"])
  })

  it("the G2 check accepts overlapping reads answered in either order, and other planes that are behind", () => {
    const slow = shown("a", 1, 400, { began: number + 1, ended: number + 10 })
    const quick = shown("b", 2, 400, { began: slow.began + 1, ended: slow.began + 2 })
    number += 20
    assert.deepStrictEqual(checks(abc, [quick, slow]), [])
    assert.deepStrictEqual(checks(abc, [shown("b", 2, 400), shown("a", 1, 400, { plane: "plane-b" })]), [])
  })

  it("the G3 check finds a read that misses our own write", () => {
    assert.deepStrictEqual(checks(abc, [wrote("b", "landed"), shown("c", 3, 400)]), [])
    assert.deepStrictEqual(checks(abc, [wrote("b", "landed"), shown("a", 1, 400)]), ["brokeReadYourWrites"])
    const rows = [row("a", 1, 100), row("default", 0, 200)]
    assert.deepStrictEqual(checks(rows, [removed(1), shown("default", 0, 400)]), [])
    assert.deepStrictEqual(checks(rows, [removed(1), shown("a", 1, 400)]), ["brokeReadYourWrites"])
  })

  it("the G3 check finds a write that returns something older than what it wrote", () => {
    const returned = (stamp: string, revision: number) => shown(stamp, revision, 400, { via: "write", written: "b" })
    assert.deepStrictEqual(checks(abc, [returned("b", 2)]), [])
    assert.deepStrictEqual(checks(abc, [returned("c", 3)]), [])
    assert.deepStrictEqual(checks(abc, [returned("a", 1)]), ["brokeReadYourWrites"])
    const meanwhile = shown("c", 3, 400)
    const late = shown("b", 2, 400, { via: "write", written: "b", began: meanwhile.began })
    assert.deepStrictEqual(checks(abc, [meanwhile, late]), [])
  })

  it("the G3 check accepts a bad row from before the answer that hides our own write, and none from after it", () => {
    const rows = [row("a", 1, 100), row("b", 2, 200), row("?", 3, 300, { valid: false })]
    const answered = (answeredAt: number) => ({ ...wrote("b", "landed"), answeredAt })
    assert.deepStrictEqual(checks(rows, [shown("a", 1, 150), answered(310), shown("a", 1, 400)]), [])
    assert.deepStrictEqual(checks(rows, [shown("a", 1, 150), answered(250), shown("a", 1, 400)]), [
      "brokeReadYourWrites"
    ])
  })

  it("the G4 check finds what is called fresh and was superseded longer ago than the bound, or confirmed after that", () => {
    const rows = [row("a", 1, 100), row("b", 2, 1000)]
    assert.deepStrictEqual(checks(rows, [shown("a", 1, 4000)]), [])
    assert.deepStrictEqual(checks(rows, [shown("a", 1, 4600)]), ["brokeStaleness"])
    assert.deepStrictEqual(checks(rows, [shown("a", 1, 4600, { stale: true })]), [])
    assert.deepStrictEqual(checks(rows, [shown("a", 1, 2000, { confirmedAt: 1400 })]), [])
    assert.deepStrictEqual(checks(rows, [shown("a", 1, 2000, { confirmedAt: 1600 })]), ["brokeStaleness"])
  })

  it("the G5 check finds a value of another tenant", () => {
    const value = { tenant: "tenant-0002", stamp: "a" }
    assert.deepStrictEqual(checks(abc, [shown("a", 1, 400, { value })]), ["brokeIsolation"])
  })

  it("the G6 check finds a value that does not decode or was never committed, but not one that a bad row leaves", () => {
    assert.deepStrictEqual(checks(abc, [shown({ unfit: 1 }, 1, 400)]), ["brokeBadRows"])
    assert.deepStrictEqual(checks(abc, [shown("z", 1, 400)]), ["brokeBadRows"])
    assert.deepStrictEqual(checks(abc, [shown("c", 3, 290)]), ["brokeBadRows"])
    const bad = [row("a", 1, 100), row("?", 2, 200, { valid: false })]
    assert.deepStrictEqual(checks(bad, [shown("a", 1, 9000)]), [])
  })

  it("the G6 check lets only a plane that forgot the tenant show the default over a bad row", () => {
    const bad = [row("a", 1, 100), row("?", 2, 200, { valid: false })]
    const forgot = (back: boolean) => ({ _tag: "Forgot", plane: "plane-a", tenant, ended: ++number, back }) as const
    const seen = () => shown("a", 1, 150)
    const shownDefault = () => shown("default", 0, 400)
    assert.deepStrictEqual(checks(bad, [seen(), shownDefault()]), ["brokeMonotonic"])
    assert.deepStrictEqual(checks(bad, [seen(), forgot(false), shownDefault(), forgot(true), shownDefault()]), [])
    assert.deepStrictEqual(checks(abc, [seen(), forgot(false), shownDefault()]), ["brokeMonotonic"])
    assert.deepStrictEqual(checks(bad, [forgot(false), forgot(true), seen(), shownDefault()]), ["brokeMonotonic"])
  })

  it("the G7 check finds a default that was seeded over a row", () => {
    const seed = row("default", 9, 900, { by: "systemplane.manager:0123456789abcdef" })
    assert.deepStrictEqual(checks([row("a", 1, 100), row("default", 0, 200), seed], []), [])
    assert.deepStrictEqual(checks([row("a", 1, 100), seed], []), ["brokeSeeding"])
  })

  it("the G8 check finds a subscriber that is sent back, or told twice", () => {
    const change = (stamp: string, revision: number) => shown(stamp, revision, 400, { observer: "changes" })
    assert.deepStrictEqual(checks(abc, [change("a", 1), change("c", 3)]), [])
    assert.deepStrictEqual(checks(abc, [change("b", 2), change("a", 1)]), ["brokeSubscribers"])
    assert.deepStrictEqual(checks(abc, [change("b", 2), change("b", 2)]), ["brokeSubscribers"])
  })

  it("the G9 check finds two halves of different transactions, and half a transaction that landed", () => {
    const pair = (left: string, right: string) =>
      ({
        _tag: "PairSeen",
        plane: "plane-a",
        tenant,
        at: 400,
        stale: false,
        left: { tenant, stamp: left },
        right: { tenant, stamp: right }
      }) as const
    assert.deepStrictEqual(checks(abc, [pair("a", "a"), pair("b", "b")]), [])
    assert.deepStrictEqual(checks(abc, [pair("a", "b")]), ["brokeTorn"])
    const both = {
      ...wrote("a", "unknown"),
      writes: ["limits/plain", "limits/other"].map((key) => ({ key, stamp: "a" }))
    }
    assert.deepStrictEqual(checks(abc, [both]), ["brokeTorn"])
  })

  it("the G10 check finds a write that did not do what its writer was told", () => {
    assert.deepStrictEqual(checks(abc, [wrote("b", "landed"), wrote("z", "not"), wrote("y", "unknown")]), [])
    assert.deepStrictEqual(checks(abc, [wrote("z", "landed")]), ["brokeDefinite"])
    assert.deepStrictEqual(checks(abc, [wrote("b", "not")]), ["brokeDefinite"])
    assert.deepStrictEqual(checks(abc, [wrote("d", "not")], [row("d", 4, 900)]), ["brokeDefinite"])
  })

  it("the G10 check finds two writers who both wrote over one revision", () => {
    assert.deepStrictEqual(checks(abc, [wrote("b", "landed", { ifRevision: 1 })]), [])
    assert.deepStrictEqual(checks(abc, [wrote("c", "landed", { ifRevision: 1 })]), ["brokeDefinite"])
    assert.deepStrictEqual(checks([row("a", 1, 100)], [wrote("a", "landed", { ifRevision: 0 })]), [])
    assert.deepStrictEqual(checks(abc, [removed(7)]), ["brokeDefinite"])
  })

  it("the G14 check finds a value in a notification", () => {
    assert.isUndefined(problemOf(JSON.stringify({ namespace: "limits", key: "plain", op: "upsert", revision: 1 })))
    assert.isDefined(problemOf(JSON.stringify({ namespace: "limits", key: "plain", op: "upsert", value: 600 })))
  })

  it("the checker of a tenant measures from the commit until a subscriber hears of the version, or of a newer one", () => {
    const heard = (stamp: string, revision: number, at: number) =>
      shown(stamp, revision, at, { observer: "changes", liveSince: 0 })
    const rows = [row("a", 1, 100), row("b", 2, 200), row("?", 3, 250, { valid: false }), row("c", 4, 300)]
    const { arrivals } = checked(rows, [heard("a", 1, 110), heard("c", 4, 320)])
    assert.deepStrictEqual(
      arrivals.map(({ at, version }) => [version.stamp, at - version.committed]),
      [
        ["a", 10],
        ["b", 120],
        ["c", 20]
      ]
    )
  })
})

describe("the conditions of an arrival", () => {
  const arrival = (more: Partial<Arrival> = {}, announced = true): Arrival => ({
    plane: "plane-a",
    tenant,
    version: { ...row("a", 1, 1000), announced },
    at: 1050,
    liveSince: 500,
    ...more
  })
  const fault = { what: "cut", plane: "plane-a", from: 1040, until: 1100 }
  const intervention = { plane: "plane-a", tenant, what: "suspend", from: 900, until: 1010 }
  const none = { calm: [], unannounced: [], faults: [] }

  it("the conditions of an arrival are calm if nothing was wrong from the commit on", () => {
    assert.deepStrictEqual(Conditions.sort([arrival()], [{ ...fault, plane: "plane-b" }], []), { ...none, calm: [50] })
    assert.deepStrictEqual(Conditions.sort([arrival({}, false)], [], []), { ...none, unannounced: [50] })
  })

  it("the conditions of an arrival are faulty if something was broken, or the tenant not live", () => {
    const faulty = { ...none, faults: [50] }
    assert.deepStrictEqual(Conditions.sort([arrival()], [fault], []), faulty)
    assert.deepStrictEqual(Conditions.sort([arrival()], [{ ...fault, plane: undefined }], []), faulty)
    assert.deepStrictEqual(Conditions.sort([arrival({ liveSince: 1020 })], [], []), faulty)
    assert.deepStrictEqual(Conditions.sort([arrival({ liveSince: undefined })], [], []), faulty)
  })

  it("the conditions of an arrival do not count while the tenant was suspended", () => {
    assert.deepStrictEqual(Conditions.sort([arrival()], [], [intervention]), none)
  })
})

describe("convergence at the end", () => {
  const checker = Checker.make({ tenant, maxStaleness: 3000, tolerance: 500, broken: () => {}, arrived: () => {} })
  checker.committed(abc)
  const history = checker.history(key)
  const final: Final = { plane: "plane-a", tenant, key, stamp: "c", revision: 3, stale: false, heard: "c/3" }

  it("the G1 check wants every plane to show the last version, and not as stale", () => {
    assert.isUndefined(Convergence.problemOf(final, history))
    assert.isDefined(Convergence.problemOf({ ...final, stamp: "b", revision: 2 }, history))
    assert.isDefined(Convergence.problemOf({ ...final, revision: 4 }, history))
    assert.isDefined(Convergence.problemOf({ ...final, stale: true }, history))
  })

  it("the G8 check wants every subscriber to be told the last version", () => {
    assert.isUndefined(Convergence.undelivered(final, history))
    assert.isDefined(Convergence.undelivered({ ...final, heard: "b/2" }, history))
    assert.isDefined(Convergence.undelivered({ ...final, heard: undefined }, history))
  })
})
