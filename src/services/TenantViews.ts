/**
 * How a `Config` finds the scope of a fiber's tenant, for reads that look there before they ask it.
 *
 * Known by the identity of the service: an application that provides a `Config` of its own, be it made from ours, is asked.
 *
 * @since 0.1.0
 */
import type * as Fiber from "effect/Fiber"
import type { TenantView } from "./TenantCache.ts"

/** Finds the scope of the tenant on whose behalf a fiber runs; `undefined` where it has none. */
export type FindView = (fiber: Fiber.Fiber<unknown, unknown>) => TenantView | undefined

const known = new WeakMap<object, FindView>()

export const register = (config: object, find: FindView): void => {
  known.set(config, find)
}

export const find = (config: object, fiber: Fiber.Fiber<unknown, unknown>): TenantView | undefined =>
  known.get(config)?.(fiber)
