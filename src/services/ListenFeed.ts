/**
 * The change feed of a tenant, as a stream of events that never fails.
 *
 * It says when a session listens, which entries changed, and that the session is lost; then it opens another one, for
 * as long as its scope lasts. It reads nothing by itself: the session in `Connected` is what its follower reads with.
 * Whether values are stale meanwhile is decided by the cache.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { ConnectorError } from "../schema/ConnectorError.ts"
import type { Notification } from "../schema/Notification.ts"
import type { TenantId } from "../schema/TenantId.ts"
import type { ReadDiff } from "./EntryStore.ts"

/** The session behind a feed, as the feed's reader uses it. */
export interface FeedSession {
  /**
   * Reads the diff on the feed's own session. Interrupting it abandons the session. `arrived` runs whenever rows, or the
   * answer to one of several statements, have arrived, so that a long answer can be told from none.
   */
  readonly diff: (...question: [...Parameters<ReadDiff>, arrived?: () => void]) => ReturnType<ReadDiff>
  /**
   * When the whole table was last compared, in milliseconds of the monotonic clock, if the latest `diff` relied on what
   * was recorded since: it may miss what was written since then with the triggers disabled. `undefined`, or no function:
   * it compared the whole table itself.
   */
  readonly verifiedAt?: (() => number | undefined) | undefined
  /**
   * Marks the session as established, since everything was read. The back-off starts over once the session has stayed
   * up for longer than the longest pause that may have preceded it.
   */
  readonly confirm: Effect.Effect<void>
  /** Abandons the session; `Disconnected` follows. */
  readonly abandon: Effect.Effect<void>
}

/** The feed listens: what is committed before is in a read from now on, what is committed after is in `Changed`. */
export interface Connected {
  readonly _tag: "Connected"
  readonly session: FeedSession
}

/** Some entries changed. It carries names and no values: a reader that wants a value reads it. */
export interface Changed {
  readonly _tag: "Changed"
  readonly notifications: ReadonlyArray<Notification>
}

/** The session ended or could not be opened. */
export interface Disconnected {
  readonly _tag: "Disconnected"
  readonly error: ConnectorError
  /** Consecutive attempts that ended without `confirm`; 0 when an established session was lost. */
  readonly failures: number
  /** The delay before the next attempt, in milliseconds. */
  readonly retryIn: number
}

/**
 * What a feed emits: `Connected`, any number of `Changed`, `Disconnected`, and so on for ever. The first event is
 * `Connected` or `Disconnected`.
 */
export type FeedEvent = Connected | Changed | Disconnected

/**
 * The change feeds of tenants.
 *
 * **Details**
 *
 * A feed never fails and never ends: it reconnects for ever, with exponential, capped, jittered delays. Notifications
 * are lost with a session, and a pooler may swallow all of them, so a reader reads everything after each `Connected`.
 * Malformed notifications are counted, logged at debug level, and dropped. Interrupting the stream releases the session
 * without waiting for the peer.
 *
 * @category services
 * @since 0.1.0
 */
export class ListenFeed extends Context.Service<
  ListenFeed,
  {
    /** Running the stream opens the feed; each run has a session of its own. */
    readonly events: (tenant: TenantId) => Stream.Stream<FeedEvent>
  }
>()("effect-systemplane/services/ListenFeed") {}
