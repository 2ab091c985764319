/**
 * A feed over sessions that come and go: one session at a time, reconnected for ever. What a session is, is the affair of
 * whoever opens it.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Backoff from "../../schema/Backoff.ts"
import { ConnectFailed, ConnectorError } from "../../schema/ConnectorError.ts"
import * as Notification from "../../schema/Notification.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { ReadDiff } from "../../services/EntryStore.ts"
import { type FeedEvent, ListenFeed } from "../../services/ListenFeed.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import { ReconnectSignal } from "./ReconnectSignal.ts"

/** A session that listens: `LISTEN` was confirmed before it is handed over. */
export interface FeedSource {
  readonly diff: ReadDiff
  /** Told of what notifications named, before a reader is: the next `diff` looks at these entries in any case. */
  readonly heard?: ((notifications: ReadonlyArray<Notification.Notification>) => void) | undefined
  /** Waits for a payload and takes all that have arrived, in the order of commit. Fails once the session has ended. */
  readonly payloads: Effect.Effect<ReadonlyArray<string>, ConnectorError>
  /** Gives the session up at once, without a word to the peer. Idempotent. */
  readonly abandon: Effect.Effect<void>
}

export interface ReconnectingFeedOptions {
  readonly reconnect: Backoff.Backoff
}

/** `open` opens a session that lives as long as the scope. */
export const make = Effect.fnUntraced(function* (
  options: ReconnectingFeedOptions,
  open: (tenant: TenantId) => Effect.Effect<FeedSource, ConnectorError, Scope.Scope>
) {
  const telemetry = yield* Telemetry
  const recovery = yield* ReconnectSignal

  const tellMalformed = (tenant: TenantId, malformed: number) =>
    malformed === 0
      ? Effect.void
      : Effect.logDebug("Dropped malformed notifications").pipe(Effect.annotateLogs({ tenant, malformed }))

  /** The next event of a feed. Whoever waits for it waits on the session itself: between them stands no other fiber. */
  const following = (tenant: TenantId, scope: Scope.Scope): Effect.Effect<FeedEvent> => {
    let current: FeedSource | undefined
    let ownScope: Scope.Closeable | undefined
    let failures = 0
    let waits = 0
    let retryIn: number | undefined
    let wokenEarly = false
    let confirmedAt: number | undefined
    /** What is told of the event before: whoever waited for it went first. */
    let afterwards: Effect.Effect<void> = Effect.void

    const confirm = Effect.gen(function* () {
      confirmedAt = yield* MonotonicClock.millis
      if (failures > 0) yield* recovery.recovered
      failures = 0
    })

    const connected: Effect.Effect<FeedEvent, ConnectorError> = Effect.gen(function* () {
      if (retryIn !== undefined) wokenEarly = yield* recovery.pause(retryIn, !wokenEarly)
      confirmedAt = undefined
      ownScope = yield* Scope.fork(scope)
      const session = yield* Scope.provide(open(tenant), ownScope)
      current = session
      return { _tag: "Connected", session: { confirm, abandon: session.abandon, diff: session.diff } }
    })

    const changed = (session: FeedSource): Effect.Effect<FeedEvent, ConnectorError> =>
      Effect.flatMap(session.payloads, (payloads) => {
        const notifications = Arr.getSomes(payloads.map((payload) => Notification.decode(payload)))
        const malformed = payloads.length - notifications.length
        const told = Effect.andThen(
          tellMalformed(tenant, malformed),
          telemetry.notified(tenant, notifications, malformed)
        )
        if (notifications.length === 0) return Effect.andThen(told, changed(session))
        session.heard?.(notifications)
        afterwards = told
        return Effect.succeed<FeedEvent>({ _tag: "Changed", notifications })
      })

    const disconnected = (cause: Cause.Cause<ConnectorError>): Effect.Effect<FeedEvent> =>
      Effect.gen(function* () {
        const error = errorOf(tenant, cause)
        current = undefined
        // A connector may die while it releases its session: that is no reason to end the feed.
        if (ownScope !== undefined) yield* Effect.exit(Scope.close(ownScope, Exit.fail(error)))
        if (confirmedAt === undefined) failures++
        // Back-off starts over after a session that stayed up for longer than the pause before it may have been. So a server
        // that lets everybody in, answers once and hangs up is met ever more seldom, and the first loss of an old session is
        // followed by a new one at once.
        else if ((yield* MonotonicClock.millis) - confirmedAt >= Backoff.bound(options.reconnect, waits)) waits = 0
        waits++
        retryIn = Backoff.delay(options.reconnect, waits, yield* Random.next)
        yield* telemetry.disconnected(tenant, error.reason._tag)
        return { _tag: "Disconnected", error, failures, retryIn }
      })

    return Effect.suspend(() => {
      const before = afterwards
      afterwards = Effect.void
      return Effect.andThen(before, current === undefined ? connected : changed(current))
      // Also what is no typed error: a connector that dies, or interrupts itself, must not end the feed.
    }).pipe(Effect.catchCause(disconnected))
  }

  return ListenFeed.of({
    events: (tenant) =>
      Stream.fromChannel(
        Channel.fromTransform((_, scope) => Effect.sync(() => Effect.map(following(tenant, scope), Arr.of)))
      )
  })
})

const errorOf = (tenant: TenantId, cause: Cause.Cause<ConnectorError>): ConnectorError =>
  Option.getOrElse(Cause.findErrorOption(cause), () => new ConnectorError({ tenant, reason: new ConnectFailed({}) }))
