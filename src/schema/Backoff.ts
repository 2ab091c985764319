/**
 * How long to wait before the next attempt to connect.
 *
 * Exponential with full jitter: the delay is drawn evenly between nothing and the capped exponential bound, which
 * spreads the sessions of many tenants best when a server comes back
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 *
 * @since 0.1.0
 */

/**
 * @category models
 * @since 0.1.0
 */
export interface Backoff {
  /** Bound of the first delay, in milliseconds. */
  readonly base: number
  /** No delay is longer than this many milliseconds. */
  readonly cap: number
}

/**
 * The longest delay after `failures` consecutive failures (at least 1), in milliseconds.
 *
 * @since 0.1.0
 */
export const bound = (backoff: Backoff, failures: number): number =>
  // 2^30 doublings of a millisecond are twelve days: past that the cap has long decided, and 2^n must not overflow.
  Math.min(backoff.cap, backoff.base * 2 ** Math.min(Math.max(failures, 1) - 1, 30))

/**
 * The delay to wait, in milliseconds, for a `random` number in `[0, 1)`.
 *
 * @since 0.1.0
 */
export const delay = (backoff: Backoff, failures: number, random: number): number => bound(backoff, failures) * random
