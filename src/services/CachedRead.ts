/**
 * A read that memory usually answers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"
import type { ConfigKey } from "../schema/ConfigKey.ts"
import type { LastContext } from "./LastContext.ts"
import { notInMemory, type TenantView } from "./TenantCache.ts"

type Look = IteratorYieldResult<Effect.Effect<any>>

/**
 * An effect that reads a key, and that memory can usually answer.
 *
 * **Details**
 *
 * In a generator it is one step of the fiber where memory answers: the generator is first handed a look into memory, which
 * succeeds at once, and only where that knows nothing the read itself. An effect that decides for itself what to do next
 * takes three. The fiber is asked only when the step is taken, never when the generator asks for its first step: a function
 * made with `Effect.fnUntracedEager` does that while its caller's fiber runs, which may act for another tenant.
 *
 * Make one for each key, and keep it.
 */
export class CachedRead<A, E = never, R = never> extends Effectable.Class<A, E, R> {
  readonly key: ConfigKey<A>
  readonly look: Look
  readonly #read: Effect.Effect<A, E, R>

  /** `views` finds the scope of a fiber's tenant, and may be shared by the reads of all keys; `read` is run where there is none. */
  constructor(key: ConfigKey<A>, views: LastContext<TenantView | undefined>, read: Effect.Effect<A, E, R>) {
    super()
    const peek = (fiber: Fiber.Fiber<unknown, unknown>) => {
      const view = views.of(fiber)
      return view === undefined ? notInMemory : view.peek(key)
    }
    this.key = key
    this.look = { done: false, value: Effect.withFiberSucceed(peek) }
    this.#read = Effect.withFiber((fiber): Effect.Effect<A, E, R> => {
      const known = peek(fiber)
      if (known !== notInMemory) return Effect.succeed(known)
      views.forget()
      return read
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
    if (this.#taken === 2) {
      return result === notInMemory ? { done: false, value: this.#read.asEffect() } : { done: true, value: result }
    }
    return { done: true, value: result }
  }
}
