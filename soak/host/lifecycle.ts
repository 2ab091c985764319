/** Suspends, removes, rotates and activates tenants of a plane at random. */
import { Clock, Effect, Random } from "effect"
import { TenantManager } from "effect-systemplane"
import { type Actor, oneOf, repeatedly, weighted } from "./Actor.ts"

/** Goes on until interrupted; on average one interlude in `pause` milliseconds. */
export const run = (actor: Actor, pause: number) =>
  repeatedly(
    pause,
    Effect.gen(function* () {
      const tenant = yield* oneOf(actor.tenants)
      const what = yield* weighted([
        [3, "suspend"],
        [2, "remove"],
        [3, "rotate"],
        [1, "activate"]
      ] as const)
      const from = yield* Clock.currentTimeMillis
      yield* Effect.ignore(play(actor, tenant, what))
      actor.recorder.interlude({ plane: actor.plane, tenant, what, from, until: yield* Clock.currentTimeMillis })
    })
  )

const play = (actor: Actor, tenant: string, what: "suspend" | "remove" | "rotate" | "activate") =>
  Effect.gen(function* () {
    const manager = yield* TenantManager
    const absence = yield* Random.nextBetween(100, 2000)
    switch (what) {
      case "suspend":
        yield* manager.suspend(tenant)
        yield* Effect.sleep(absence)
        return yield* manager.activate(tenant)
      case "remove":
        yield* forgot(actor, tenant, false)
        yield* manager.remove(tenant)
        yield* Effect.sleep(absence)
        yield* Effect.ignore(manager.activate(tenant))
        yield* manager.awaitLive(tenant)
        return yield* forgot(actor, tenant, true)
      case "rotate":
        return yield* manager.rotateCredentials(tenant)
      case "activate":
        return yield* manager.activate(tenant)
    }
  })

/** From here on the plane may know nothing of the tenant any more, or has it back. */
export const forgot = ({ plane, recorder }: Actor, tenant: string, back: boolean) =>
  Effect.map(recorder.end, ({ number }) => recorder.note({ _tag: "Forgot", plane, tenant, ended: number, back }))
