/** The tour plays itself: each step says what it shows, and fails the tour if it does not show it. */
import { Clock, Effect, type Redacted, Schedule, Stream } from "effect"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import * as Databases from "./Databases.ts"
import { Discount } from "./keys.ts"
import { printChanges } from "./printChanges.ts"

/** Runs a step within ten seconds, and prints what it showed and how long it took. */
const step = <E, R>(what: string, effect: Effect.Effect<void, E, R>) =>
  Effect.gen(function* () {
    const startedAt = yield* Clock.currentTimeMillis
    yield* effect.pipe(
      Effect.timeoutOrElse({ duration: "10 seconds", orElse: () => Effect.fail(new Error(`Not seen: ${what}`)) })
    )
    console.log(`ok  ${what} (${(yield* Clock.currentTimeMillis) - startedAt} ms)`)
  })

const seen = (tenant: string, value: number) =>
  Config.watch(Discount).pipe(
    Stream.filter((entry) => entry.value === value),
    Stream.take(1),
    Stream.runDrain,
    withTenant(tenant)
  )

const discountOf = (tenant: string) => Config.get(Discount).pipe(withTenant(tenant))

export const playOnce = (template: Redacted.Redacted) =>
  Effect.gen(function* () {
    const manager = yield* TenantManager
    const acme = yield* Databases.connect(Databases.urlOf(template, "acme"))
    const write = (value: number) =>
      acme`INSERT INTO systemplane_entries (namespace, key, value, updated_by)
           VALUES (${Discount.namespace}, ${Discount.key}, ${acme.json(value)}, 'psql')
           ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, updated_by = excluded.updated_by`
    yield* printChanges

    yield* step(
      "both tenants are activated and live",
      Effect.forEach(Databases.tenants, (tenant) => manager.activate(tenant), { discard: true })
    )

    // On the user's own server an earlier tour may have left its values.
    const before = (yield* discountOf("acme")) === 25 ? 30 : 25
    const during = before + 10
    const globex = yield* discountOf("globex")

    yield* step("a change by plain SQL is visible", Effect.andThen(write(before), seen("acme", before)))

    yield* step(
      "the other tenant does not see it",
      Effect.flatMap(discountOf("globex"), (value) =>
        value === globex ? Effect.void : Effect.fail(new Error(`globex sees ${value}, not ${globex}`))
      )
    )

    yield* step(
      "the listener's backend is killed and a value changed meanwhile: it converges, with no second write",
      Effect.gen(function* () {
        const killed = yield* acme`
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'effect-systemplane listen'`
        if (killed.length === 0) return yield* Effect.fail(new Error("there was no listener to kill"))
        yield* write(during)
        yield* seen("acme", during)
      })
    )

    yield* step("the tenant is live again", manager.awaitLive("acme"))

    yield* step(
      "drained: no session of ours is left",
      Effect.gen(function* () {
        const { unfinished } = yield* manager.drain()
        if (unfinished.length > 0) return yield* Effect.fail(new Error(`did not finish: ${unfinished.join(", ")}`))
        // The server notices a closed socket a moment later.
        yield* acme`
          SELECT pid FROM pg_stat_activity
          WHERE datname = current_database() AND application_name LIKE 'effect-systemplane%'`.pipe(
          Effect.repeat({ until: (sessions) => sessions.length === 0, schedule: Schedule.spaced("20 millis") })
        )
      })
    )
  }).pipe(Effect.scoped)
