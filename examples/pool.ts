/** A pool whose size follows a value: a new pool takes the place of the old one, which closes behind its users. */
import { Effect, Pool, Schema, type Scope, ScopedRef, Stream } from "effect"
import { Config, ConfigKey } from "effect-systemplane"

export const PoolSize = ConfigKey.make("mail", "connections", {
  schema: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 })),
  defaultValue: 2,
  description: "Connections to the mail server"
})

/** Pools what `acquire` opens, at the size that the current tenant's configuration has at the moment. */
export const makePool = <A, E>(acquire: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const open = (size: number) => Pool.make({ acquire, size })
    const current = yield* ScopedRef.fromAcquire(open(yield* Config.get(PoolSize)))
    yield* Config.watch(PoolSize).pipe(
      Stream.map(({ value }) => value),
      Stream.changes,
      Stream.drop(1), // the size that the pool has already
      Stream.runForEach((size) => ScopedRef.set(current, open(size))),
      Effect.forkScoped
    )
    return Effect.flatMap(ScopedRef.get(current), Pool.get)
  })
