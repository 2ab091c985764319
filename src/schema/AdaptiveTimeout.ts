/**
 * How long a feed waits for an answer before its session counts as dead. What any other statement may take is in
 * Timeouts.
 *
 * A fixed time would be too long for one server or too short for another: if a read of 10,000 keys over a slow link
 * takes longer than that, every session would be abandoned before its first read is done, and the next one again, for
 * ever. So the time doubles whenever it ran out, and follows what answers take once there are any.
 *
 * @since 0.1.0
 */

/** In milliseconds. */
export interface AdaptiveTimeout {
  /** Enough for a server that is well. */
  readonly usual: number
  /** Never longer than this. */
  readonly longest: number
}

/** The time to wait next, after an answer that took `took`: twice that, and never less than usual. */
export const afterAnswer = ({ longest, usual }: AdaptiveTimeout, took: number): number =>
  Math.min(Math.max(usual, 2 * took), longest)

/** The time to wait next, after waiting `waited` without an answer. */
export const afterSilence = ({ longest }: AdaptiveTimeout, waited: number): number => Math.min(2 * waited, longest)
