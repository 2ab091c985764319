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
