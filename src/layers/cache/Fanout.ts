/**
 * Latest-value channels: one slow reader holds up neither the writer nor another reader, and is given the newest value once
 * it comes back. What it may miss are values in between; what it never misses is the last one.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** The values waiting for one reader, at most one per `K`. */
export interface Mailbox<K, A> {
  readonly offer: (key: K, value: A) => void
  /** Waits for a value, and takes what is there in the order in which the keys were first offered. */
  readonly take: Effect.Effect<ReadonlyArray<A>>
}

export const makeMailbox = <K, A>(merge: (waiting: A, newer: A) => A): Mailbox<K, A> => {
  const waiting = new Map<K, A>()
  const arrived = Latch.makeUnsafe(false)
  return {
    offer: (key, value) => {
      waiting.set(key, waiting.has(key) ? merge(waiting.get(key)!, value) : value)
      arrived.openUnsafe()
    },
    take: Effect.map(arrived.await, () => {
      const taken = [...waiting.values()]
      waiting.clear()
      arrived.closeUnsafe()
      return taken
    })
  }
}

/** The mailboxes that subscribed to a topic. */
export interface Fanout<T, K, A> {
  readonly subscribe: (topic: T, mailbox: Mailbox<K, A>) => Effect.Effect<void, never, Scope.Scope>
  readonly publish: (topic: T, key: K, value: A) => void
  /** Nobody subscribed to anything: what would be published need not be made. */
  readonly isIdle: () => boolean
}

export const make = <T, K, A>(): Fanout<T, K, A> => {
  const subscribers = new Map<T, Set<Mailbox<K, A>>>()
  return {
    subscribe: (topic, mailbox) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const mailboxes = subscribers.get(topic) ?? new Set()
          subscribers.set(topic, mailboxes.add(mailbox))
        }),
        () =>
          Effect.sync(() => {
            const mailboxes = subscribers.get(topic)
            mailboxes?.delete(mailbox)
            if (mailboxes?.size === 0) subscribers.delete(topic)
          })
      ),
    isIdle: () => subscribers.size === 0,
    publish: (topic, key, value) => {
      for (const mailbox of subscribers.get(topic) ?? []) mailbox.offer(key, value)
    }
  }
}

/** What a mailbox receives, for as long as the stream runs. */
export const stream = <K, A>(mailbox: Mailbox<K, A>): Stream.Stream<A> =>
  Stream.flattenIterable(Stream.fromEffectRepeat(mailbox.take))
