/**
 * A feed over sessions that come and go: one session at a time, reconnected for ever. What a session is, is the affair of
 * whoever opens it.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Backoff from "../schema/Backoff.ts"
import { ConnectFailed, ConnectorError } from "../schema/ConnectorError.ts"
import * as Notification from "../schema/Notification.ts"
import type { TenantId } from "../schema/TenantId.ts"
import type { ReadDifferences } from "../services/EntryStore.ts"
import { type FeedEvent, ListenFeed } from "../services/ListenFeed.ts"
import * as Monotonic from "./Monotonic.ts"
import { Recovery } from "./Recovery.ts"
import { Telemetry } from "./Telemetry.ts"

/** A session that listens: `LISTEN` was confirmed before it is handed over. */
export interface ListeningSession {
  readonly differences: ReadDifferences
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
  open: (tenant: TenantId) => Effect.Effect<ListeningSession, ConnectorError, Scope.Scope>
) {
  const telemetry = yield* Telemetry
  const recovery = yield* Recovery

  const tellMalformed = (tenant: TenantId, malformed: number) =>
    malformed === 0
      ? Effect.void
      : Effect.logDebug("Dropped malformed notifications").pipe(Effect.annotateLogs({ tenant, malformed }))

  // Runs one session until it ends, and fails with what ended it.
  const session = (
    tenant: TenantId,
    emit: (event: FeedEvent) => Effect.Effect<unknown>,
    confirm: Effect.Effect<void>
  ): Effect.Effect<never, ConnectorError, Scope.Scope> =>
    Effect.gen(function* () {
      const session = yield* open(tenant)
      yield* emit({
        _tag: "Connected",
        session: { confirm, abandon: session.abandon, differences: session.differences }
      })
      while (true) {
        const payloads = yield* session.payloads
        const notifications = Arr.getSomes(payloads.map((payload) => Notification.decode(payload)))
        const malformed = payloads.length - notifications.length
        if (notifications.length > 0) yield* emit({ _tag: "Changed", notifications })
        // Whoever waits for the values goes first.
        yield* tellMalformed(tenant, malformed)
        yield* telemetry.notified(tenant, notifications, malformed)
      }
    })

  const follow = (tenant: TenantId, queue: Queue.Queue<FeedEvent, Cause.Done>) =>
    Effect.gen(function* () {
      let failures = 0
      let waits = 0
      let confirmedAt: number | undefined
      let hastened = false
      const confirm = Effect.gen(function* () {
        confirmedAt = yield* Monotonic.millis
        if (failures > 0) yield* recovery.gotThrough
        failures = 0
      })
      while (true) {
        confirmedAt = undefined
        const error = yield* session(tenant, (event) => Queue.offer(queue, event), confirm).pipe(
          Effect.scoped,
          // Also what is no typed error: a connector that dies, or interrupts itself, must not end the feed.
          Effect.catchCause((cause) => Effect.fail(errorOf(tenant, cause))),
          Effect.flip
        )
        if (confirmedAt === undefined) failures++
        // Back-off starts over after a session that stayed up for longer than the pause before it may have been. So a server
        // that lets everybody in, answers once and hangs up is met ever more seldom, and the first loss of an old session is
        // followed by a new one at once.
        else if ((yield* Monotonic.millis) - confirmedAt >= Backoff.bound(options.reconnect, waits)) waits = 0
        waits++
        const retryIn = Backoff.delay(options.reconnect, waits, yield* Random.next)
        yield* telemetry.disconnected(tenant, error.reason._tag)
        yield* Queue.offer(queue, { _tag: "Disconnected", error, failures, retryIn })
        hastened = yield* recovery.pause(retryIn, !hastened)
      }
    })

  return ListenFeed.of({ events: (tenant) => Stream.callback((queue) => follow(tenant, queue)) })
})

const errorOf = (tenant: TenantId, cause: Cause.Cause<ConnectorError>): ConnectorError =>
  Option.getOrElse(Cause.findErrorOption(cause), () => new ConnectorError({ tenant, reason: new ConnectFailed({}) }))
