/** Suspends, removes, rotates and activates tenants of a plane at random. */
import { Effect, Random } from "effect"
import { TenantManager } from "effect-systemplane"
import { type Client, oneOf, repeatedly, weighted } from "./Client.ts"

/** Goes on until interrupted; on average one intervention each `pause` milliseconds. */
export const run = (client: Client, pause: number) =>
  repeatedly(
    pause,
    Effect.gen(function* () {
      const tenant = yield* oneOf(client.tenants)
      const what = yield* weighted([
        [3, "suspend"],
        [2, "remove"],
        [3, "rotate"],
        [1, "activate"]
      ] as const)
      const from = (yield* client.recorder.end).at
      yield* Effect.ignore(play(client, tenant, what))
      client.recorder.intervention({ plane: client.plane, tenant, what, from, until: (yield* client.recorder.end).at })
    })
  )

const play = (client: Client, tenant: string, what: "suspend" | "remove" | "rotate" | "activate") =>
  Effect.gen(function* () {
    const manager = yield* TenantManager
    const absence = yield* Random.nextBetween(100, 2000)
    switch (what) {
      case "suspend":
        yield* manager.suspend(tenant)
        yield* Effect.sleep(absence)
        return yield* manager.activate(tenant)
      case "remove":
        yield* forgot(client, tenant, false)
        yield* manager.remove(tenant)
        yield* Effect.sleep(absence)
        yield* Effect.ignore(manager.activate(tenant))
        yield* manager.awaitLive(tenant)
        return yield* forgot(client, tenant, true)
      case "rotate":
        return yield* manager.rotateCredentials(tenant)
      case "activate":
        return yield* manager.activate(tenant)
    }
  })

/** Notes that the plane forgets the tenant from now on, or has it back. */
export const forgot = ({ plane, recorder }: Client, tenant: string, back: boolean) =>
  Effect.map(recorder.end, ({ number }) => recorder.note({ _tag: "Forgot", plane, tenant, ended: number, back }))
