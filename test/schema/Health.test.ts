import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"
import { ActivationError, TenantId, type TenantState, type TenantStatus } from "effect-systemplane"
import * as Health from "../../src/schema/Health.ts"

const since = DateTime.makeUnsafe("2026-01-02T03:04:05Z")

const acme = TenantId.make("acme")
const failure = ActivationError.of(acme, new ActivationError.Superseded())

const status = (state: TenantState, failed = false): TenantStatus => ({
  tenant: acme,
  state,
  since,
  failures: failed ? 1 : 0,
  lastError: failed ? failure : undefined,
  confirmedAt: undefined,
  epoch: 0,
  rejected: 0,
  undeclared: 0,
  warnings: []
})

const live = status("live")
const degraded = status("disconnected")
const down = status("stale", true)

describe("Health", () => {
  it("health of a tenant is what its readers notice", () => {
    for (const [of, expected] of [
      [live, "live"],
      [status("disconnected"), "degraded"],
      [status("disconnected", true), "degraded"],
      [status("stale"), "degraded"],
      [status("stale", true), "down"],
      [status("activating"), "degraded"],
      [status("activating", true), "down"]
    ] as const) {
      assert.strictEqual(Health.make([of], false).counts[expected], 1, `${of.state} ${of.failures}`)
    }
  })

  it("health of a plane is live if all tenants are, down if all are, and degraded otherwise", () => {
    for (const [tenants, expected] of [
      [[], "live"],
      [[live, live], "live"],
      [[live, degraded], "degraded"],
      [[live, down, down], "degraded"],
      [[degraded, down], "degraded"],
      [[degraded], "degraded"],
      [[down, down], "down"]
    ] as const) {
      assert.strictEqual(Health.make(tenants, false).status, expected, tenants.map(({ state }) => state).join())
    }
  })

  it("health of a drained plane is down, whatever its tenants are", () => {
    assert.deepInclude(Health.make([live], true), { status: "down", closed: true })
    assert.deepInclude(Health.make([], true), { status: "down", closed: true })
  })

  it("Health leaves out suspended tenants", () => {
    assert.deepStrictEqual(Health.make([status("suspended"), live], false), Health.make([live], false))
    assert.deepStrictEqual(Health.make([status("suspended", true)], false).status, "live")
  })

  it("Health counts all tenants, and lists at most 100 that are not live, those that are down first", () => {
    const many = [...Array(300).fill(live), ...Array(200).fill(degraded), ...Array(60).fill(down)]
    const { counts, tenants } = Health.make(many, false)
    assert.deepStrictEqual(counts, { live: 300, degraded: 200, down: 60 })
    assert.deepStrictEqual(
      tenants.map(({ status }) => status),
      [...Array(60).fill("down"), ...Array(40).fill("degraded")]
    )
  })

  it("Health turns into JSON with the cause in words", () => {
    assert.deepStrictEqual(JSON.parse(JSON.stringify(Health.make([down], false))), {
      status: "down",
      closed: false,
      counts: { live: 0, degraded: 0, down: 1 },
      tenants: [
        { tenant: "acme", status: "down", state: "stale", since: "2026-01-02T03:04:05.000Z", cause: failure.message }
      ],
      warnings: [],
      rejected: []
    })
  })
})
