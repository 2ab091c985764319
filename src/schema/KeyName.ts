/**
 * The names of a key.
 *
 * @since 0.1.0
 */

/**
 * The namespace and the key that together name one entry.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyName {
  readonly namespace: string
  readonly key: string
}

/**
 * The name as messages, logs and spans show it: `namespace/key`.
 *
 * @since 0.1.0
 */
export const show = ({ key, namespace }: KeyName): string => `${namespace}/${key}`

/** The names of anything that has them, and nothing else of it. */
export const nameOf = ({ key, namespace }: KeyName): KeyName => ({ namespace, key })

/** The two names as one text that no other two have, to look things up by. */
export const idOf = ({ key, namespace }: KeyName): string => JSON.stringify([namespace, key])

/** Sorts by namespace, then by key. */
export const byName = (a: KeyName, b: KeyName): number => compare(a.namespace, b.namespace) || compare(a.key, b.key)

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
