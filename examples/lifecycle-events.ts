/**
 * Tenants that come and go by messages of a queue, as a directory of tenants sends them. A message may come twice, or
 * in any order: the newest intent of a tenant wins. A message that is no lifecycle event is left out, and the next one
 * handled.
 */
import { Effect, type Queue, Schema, Stream } from "effect"
import { TenantLifecycleEvent, TenantManager } from "effect-systemplane"

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(TenantLifecycleEvent))

/** Handles messages until the queue ends: `{"_tag":"TenantActivated","tenant":"acme"}` and its siblings. */
export const handleMessages = (messages: Queue.Dequeue<string>) =>
  Stream.fromQueue(messages).pipe(
    Stream.mapEffect(
      (message) =>
        decode(message).pipe(
          Effect.flatMap((event) => TenantManager.use((manager) => manager.handle(event))),
          // A tenant whose database is down is tried on by its supervisor: the message is done.
          Effect.catch((error) => Effect.logWarning("A lifecycle event was not completed", error))
        ),
      { concurrency: 8 }
    ),
    Stream.runDrain
  )
