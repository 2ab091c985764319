/**
 * A read that memory usually answers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"

/**
 * An effect that reads something, and that memory can usually answer.
 *
 * **Details**
 *
 * In a generator it is one step of the fiber where memory answers: the generator is first handed a look into memory, which
 * succeeds at once, and only where that knows nothing the read itself. An effect that decides for itself what to do next
 * takes three. The fiber is asked only when the step is taken, so that whatever is provided around the generator counts.
 *
 * Make one for each thing to be read, and keep it.
 */
export abstract class CachedRead<A, E = never, R = never> extends Effectable.Class<A, E, R> {
  readonly #look: IteratorYieldResult<Effect.Effect<any, never, R>> = {
    done: false,
    value: Effect.withFiberSucceed((fiber) => this.peek(fiber))
  }

  /** Looks in memory, on behalf of the tenant of a fiber; `undefined` where memory may not answer. */
  abstract peek(fiber: Fiber.Fiber<unknown, unknown>): { readonly value: A } | undefined

  override [Symbol.iterator](): Effect.EffectIterator<this> {
    return new Steps(this, this.#look) as any
  }
}

class Steps<A> {
  readonly #read: CachedRead<A, unknown, unknown>
  readonly #look: IteratorYieldResult<Effect.Effect<any, never, unknown>>
  #taken: number
  value: unknown
  done: boolean

  constructor(read: CachedRead<A, unknown, unknown>, look: IteratorYieldResult<Effect.Effect<any, never, unknown>>) {
    this.#read = read
    this.#look = look
    this.#taken = 0
    this.value = undefined
    this.done = false
  }

  next(result: any): IteratorResult<Effect.Effect<any, unknown, unknown>, A> {
    this.#taken++
    if (this.#taken === 1) return this.#look
    if (this.#taken === 2 && result === undefined) return { done: false, value: this.#read.asEffect() }
    this.value = this.#taken === 2 ? result.value : result
    this.done = true
    return this as any
  }
}
