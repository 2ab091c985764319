/**
 * Change feeds over `LISTEN`: one session per feed, reconnected for ever.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Backoff from "../schema/Backoff.ts"
import { ConnectFailed, type ConnectorError } from "../schema/ConnectorError.ts"
import { EntryStoreError } from "../schema/EntryStoreError.ts"
import * as Notification from "../schema/Notification.ts"
import type { TenantId } from "../schema/TenantId.ts"
import { type FeedEvent, ListenFeed } from "../services/ListenFeed.ts"
import * as PgFailure from "./PgFailure.ts"
import * as PgStatements from "./PgStatements.ts"
import { Telemetry } from "./Telemetry.ts"
import { TenantDatabases } from "./TenantDatabases.ts"

export interface PgListenFeedOptions {
  readonly reconnect: Backoff.Backoff
  /** How many sessions may be opening at once, over all tenants. */
  readonly maxConcurrentConnects: number
}

const make = Effect.fnUntraced(function* (options: PgListenFeedOptions) {
  const databases = yield* TenantDatabases
  const telemetry = yield* Telemetry
  const connecting = yield* Semaphore.make(options.maxConcurrentConnects)

  const decode = (tenant: TenantId, payloads: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const notifications = Arr.getSomes(payloads.map((payload) => Notification.decode(payload)))
      const malformed = payloads.length - notifications.length
      if (malformed > 0) {
        yield* Effect.logDebug("Dropped malformed notifications").pipe(Effect.annotateLogs({ tenant, malformed }))
      }
      yield* telemetry.notified(tenant, notifications, malformed)
      return notifications
    })

  // Runs one session until it ends, and fails with what ended it.
  const session = (
    tenant: TenantId,
    emit: (event: FeedEvent) => Effect.Effect<unknown>,
    confirm: Effect.Effect<void>
  ): Effect.Effect<never, ConnectorError, Scope.Scope> =>
    Effect.gen(function* () {
      const session = yield* connecting.withPermit(databases.session(tenant))
      yield* emit({
        _tag: "Connected",
        session: {
          confirm,
          abandon: session.abandon,
          differences: (keys, known) =>
            Effect.mapError(
              PgStatements.differences(session.query, keys, known),
              (error) => new EntryStoreError({ tenant, reason: PgFailure.statementFailure(tenant, error) })
            )
        }
      })
      while (true) {
        const notifications = yield* decode(tenant, yield* session.payloads)
        if (notifications.length > 0) yield* emit({ _tag: "Changed", notifications })
      }
    })

  const follow = (tenant: TenantId, queue: Queue.Queue<FeedEvent, Cause.Done>) =>
    Effect.gen(function* () {
      let failures = 0
      let waits = 0
      let confirmed = false
      const confirm = Effect.sync(() => {
        failures = 0
        waits = 0
        confirmed = true
      })
      while (true) {
        confirmed = false
        const error = yield* session(tenant, (event) => Queue.offer(queue, event), confirm).pipe(
          Effect.scoped,
          // Also what is no typed error: a connector that dies, or interrupts itself, must not end the feed.
          Effect.catchCause((cause) => Effect.fail(errorOf(tenant, cause))),
          Effect.flip
        )
        if (!confirmed) failures++
        waits++
        const retryIn = Backoff.delay(options.reconnect, waits, yield* Random.next)
        yield* telemetry.disconnected(tenant, error.reason._tag)
        yield* Queue.offer(queue, { _tag: "Disconnected", error, failures, retryIn })
        yield* Effect.sleep(retryIn)
      }
    })

  return ListenFeed.of({ events: (tenant) => Stream.callback((queue) => follow(tenant, queue)) })
})

export const layer = (options: PgListenFeedOptions) => Layer.effect(ListenFeed, make(options))

const errorOf = (tenant: TenantId, cause: Cause.Cause<ConnectorError>): ConnectorError =>
  Option.getOrElse(Cause.findErrorOption(cause), () => PgFailure.connectorError(tenant, new ConnectFailed({})))
