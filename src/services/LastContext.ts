/**
 * What the context of a fiber leads to, looked up once for keys that a fiber reads in a row.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"

/** Remembers what was found in the last context; keeps that one context. */
export const remember = <A>(
  find: (fiber: Fiber.Fiber<unknown, unknown>) => A
): ((fiber: Fiber.Fiber<unknown, unknown>) => A) => {
  let context: Context.Context<never> | undefined
  let found: A
  return (fiber) => {
    if (fiber.context !== context) {
      found = find(fiber)
      context = fiber.context
    }
    return found
  }
}
