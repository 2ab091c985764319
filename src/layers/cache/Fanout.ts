/**
 * Latest-value channels. A slow reader delays neither the writer nor another reader: it is given the newest value when
 * it takes again. It may miss values in between, and never misses the last one.
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

/** Where values of a topic are delivered. */
export type Receiver<K, A> = Pick<Mailbox<K, A>, "offer">

/** The receivers that subscribed to a topic. */
export interface Fanout<T, K, A> {
  readonly subscribe: (topic: T, receiver: Receiver<K, A>) => Effect.Effect<void, never, Scope.Scope>
  readonly publish: (topic: T, key: K, value: A) => void
  /** The topics that have a receiver. */
  readonly topics: () => Iterable<T>
  /** No topic has a receiver: what would be published need not be made. */
  readonly isIdle: () => boolean
}

export const make = <T, K, A>(): Fanout<T, K, A> => {
  const subscribers = new Map<T, Set<Receiver<K, A>>>()
  return {
    subscribe: (topic, receiver) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const receivers = subscribers.get(topic) ?? new Set()
          subscribers.set(topic, receivers.add(receiver))
        }),
        () =>
          Effect.sync(() => {
            const receivers = subscribers.get(topic)
            receivers?.delete(receiver)
            if (receivers?.size === 0) subscribers.delete(topic)
          })
      ),
    topics: () => subscribers.keys(),
    isIdle: () => subscribers.size === 0,
    publish: (topic, key, value) => {
      for (const receiver of subscribers.get(topic) ?? []) receiver.offer(key, value)
    }
  }
}

/** What a mailbox receives, for as long as the stream runs. */
export const stream = <K, A>(mailbox: Mailbox<K, A>): Stream.Stream<A> =>
  Stream.flattenIterable(Stream.fromEffectRepeat(mailbox.take))
