/**
 * A tenant's change feed.
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

/** The session behind a feed, as its reader sees it. */
export interface FeedSession {
  /** Reads on the feed's own session. Interrupting it gives the session up. */
  readonly diff: ReadDiff
  /**
   * Tells the feed that everything was read: the session counts as established. Back-off starts over once it has stayed up for
   * longer than the pause before it may have been.
   */
  readonly confirm: Effect.Effect<void>
  /** Gives the session up; `Disconnected` follows. */
  readonly abandon: Effect.Effect<void>
}

/** The feed listens: what is committed before is in a read from now on, what is committed after is in `Changed`. */
export interface Connected {
  readonly _tag: "Connected"
  readonly session: FeedSession
}

/** Some entries changed. Names, not values: whoever wants the value reads it. */
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
 * A feed never fails and never ends: it reconnects for ever, with exponential, capped, jittered delays. Notifications may
 * be lost whenever the session is (and a pooler may swallow them all), so a reader reads everything after each
 * `Connected`. Malformed notifications are counted, logged at debug level, and dropped. Interrupting the stream releases
 * the session without waiting for the peer.
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
