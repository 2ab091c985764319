/**
 * The fast read: what `yield* Config.get(key)` runs if memory can answer. It is here, and not in `layers`, since the
 * static `Config.get` needs it. It is no contract.
 *
 * ```
 *   yield* Config.get(key)          in a generator: 1 step of the fiber, no allocation but the iterator
 *     CachedRead ── look 1 ──▶ LastContext ──▶ TenantView.peek ──▶ the value
 *         │ not in memory
 *         ▼
 *     Config.get of the service ──▶ TenantManager.demand ──▶ TenantCache.get ── look 2 ──▶ the value
 *                                                                │ not in memory
 *                                                                ▼
 *                                                            the database
 * ```
 *
 * Memory is looked at twice before the database is asked. Look 1 follows what the fiber's context led to the last time:
 * that is fast, and may be out of date, because the tenant was activated, or removed and activated again, since then.
 * Look 2 finds the replica that the tenant has now. It is the last one: nothing between it and the database waits, so a
 * third look would see the same.
 *
 * The static read and the read of the service are two `CachedRead`s of one key. A miss of the static one continues with
 * what the service's one does after its own look, so that the same memo is not followed twice.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import { notInMemory, type TenantView } from "../TenantCache.ts"

/** Finds the replica of the tenant on whose behalf a fiber runs; `undefined` if it has none. */
export type FindView = (fiber: Fiber.Fiber<unknown, unknown>) => TenantView | undefined

/**
 * What the context of a fiber leads to, found once for the reads that a fiber makes in a row. Keeps that one context.
 * Shared by the reads of all keys.
 */
export class LastContext<A> {
  readonly #find: (fiber: Fiber.Fiber<unknown, unknown>) => A
  #context: Context.Context<never> | undefined
  #found: A | undefined

  constructor(find: (fiber: Fiber.Fiber<unknown, unknown>) => A) {
    this.#find = find
    this.#context = undefined
    this.#found = undefined
  }

  of(fiber: Fiber.Fiber<unknown, unknown>): A {
    if (fiber.context === this.#context) return this.#found as A
    const found = this.#find(fiber)
    this.#context = fiber.context
    this.#found = found
    return found
  }

  /** What was found may lead elsewhere now: the next call finds it again. */
  forget(): void {
    this.#context = undefined
    this.#found = undefined
  }
}

/**
 * How each `Config` of ours finds a fiber's replica. By the identity of the service: a `Config` that an application
 * provides is asked, even if the application made it from ours.
 */
const finders = new WeakMap<object, FindView>()

/** Lets static reads look into memory before they ask this `Config`. */
export const register = (config: object, find: FindView): void => {
  finders.set(config, find)
}

const lasting: Array<LastContext<TenantView | undefined>> = []

/** A `LastContext` that outlives planes, as that of the static reads: it forgets what it found whenever one closes. */
export const makeLasting = (find: FindView): LastContext<TenantView | undefined> => {
  const context = new LastContext(find)
  lasting.push(context)
  return context
}

/** To be called when the plane of a `Config` closes: no read keeps the plane reachable from then on. */
export const unregister = (config: object): void => {
  finders.delete(config)
  for (const context of lasting) context.forget()
}

/** See {@link register}. Finds nothing for a `Config` that was not registered. */
export const find = (config: object, fiber: Fiber.Fiber<unknown, unknown>): TenantView | undefined =>
  finders.get(config)?.(fiber)

/** What a static read does after its own look: what the `Config` does after its look if the two are the same one. */
export const afterLook = <A, E, R>(config: object, read: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  read instanceof CachedRead && finders.has(config) ? read.miss : read

type Look = IteratorYieldResult<Effect.Effect<any>>

/**
 * An effect that reads a key, and that memory can usually answer. Make one for each key, and keep it.
 *
 * **Details**
 *
 * In a generator a hit is one step of the fiber: the iterator first yields a synchronous look into memory, and only on
 * a miss the rest of the read. An effect that decides for itself what to do next takes three steps. The fiber is asked
 * when the step is taken, never when the generator asks for its first step: a function made with
 * `Effect.fnUntracedEager` asks for it while its caller's fiber runs, which may act for another tenant.
 */
export class CachedRead<A, E = never, R = never> extends Effectable.Class<A, E, R> {
  readonly key: ConfigKey<A>
  readonly look: Look
  /** The rest of the read once a look found nothing. */
  readonly miss: Effect.Effect<A, E, R>
  readonly #read: Effect.Effect<A, E, R>

  /** `views` leads to the replica of a fiber's tenant; `read` runs if that does not answer. */
  constructor(key: ConfigKey<A>, views: LastContext<TenantView | undefined>, read: Effect.Effect<A, E, R>) {
    super()
    const peek = (fiber: Fiber.Fiber<unknown, unknown>) => {
      const view = views.of(fiber)
      return view === undefined ? notInMemory : view.peek(key)
    }
    this.key = key
    this.look = { done: false, value: Effect.withFiberSucceed(peek) }
    this.miss = Effect.suspend(() => {
      views.forget()
      return read
    })
    this.#read = Effect.withFiber((fiber): Effect.Effect<A, E, R> => {
      const known = peek(fiber)
      return known === notInMemory ? this.miss : Effect.succeed(known)
    })
  }

  override asEffect(): Effect.Effect<A, E, R> {
    return this.#read
  }

  override [Symbol.iterator](): Effect.EffectIterator<this> {
    return new Steps(this) as any
  }
}

/** What one generator is handed, step by step. */
class Steps<A> {
  readonly #read: CachedRead<A, unknown, unknown>
  #taken: number

  constructor(read: CachedRead<A, unknown, unknown>) {
    this.#read = read
    this.#taken = 0
  }

  next(result: any): IteratorResult<Effect.Effect<any, unknown, unknown>, A> {
    this.#taken++
    if (this.#taken === 1) return this.#read.look
    if (this.#taken === 2 && result === notInMemory) return { done: false, value: this.#read.miss }
    return { done: true, value: result }
  }
}
