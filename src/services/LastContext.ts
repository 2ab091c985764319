/**
 * What the context of a fiber leads to, looked up once for reads that a fiber makes in a row.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"

/** Remembers what was found in the last context; keeps that one context. */
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

  /** What was found may lead elsewhere now: looks again next time. */
  forget(): void {
    this.#context = undefined
    this.#found = undefined
  }
}
