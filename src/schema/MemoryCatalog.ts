/**
 * The catalogue of keys of a memory plane as a value.
 */
import * as Equal from "effect/Equal"
import type { KeyName } from "./KeyName.ts"
import type { CatalogKey, KeyDeclaration } from "./operator/KeyDeclaration.ts"

/** What each application declares, the newest first. */
export interface Declared extends KeyDeclaration {
  readonly declaredBy: string
}

export type Declarations = ReadonlyArray<Declared>

/** Whether any application says that a key is a secret. */
export const isSecret = (declarations: Declarations, { key, namespace }: KeyName): boolean =>
  declarations.some((each) => each.secret && each.key === key && each.namespace === namespace)

/** The declarations with those of an application in the place of its earlier ones, and how many of them differ. */
export const declare = (
  declarations: Declarations,
  declaredBy: string,
  given: ReadonlyArray<KeyDeclaration>
): { readonly declarations: Declarations; readonly written: number } => {
  const secretsSoFar = declarations.filter(({ secret }) => secret)
  const known = new Map(declarations.map((each) => [idOf(each), each]))
  const differing = given
    .map((declaration): Declared => {
      const mine = known.get(idOf({ ...declaration, declaredBy }))
      const secret = declaration.secret || mine?.secret === true
      const withheld = secret || isSecret(secretsSoFar, declaration)
      return {
        ...declaration,
        secret,
        ...(withheld ? { defaultValue: undefined, examples: undefined } : {}),
        declaredBy
      }
    })
    .filter((declaration) => !Equal.equals(known.get(idOf(declaration)), declaration))
  const replaced = new Set(differing.map(idOf))
  const all = [...differing, ...declarations.filter((each) => !replaced.has(idOf(each)))]
  const withheld = all.map((each) =>
    isSecret(all, each) ? { ...each, defaultValue: undefined, examples: undefined } : each
  )
  return { declarations: withheld, written: differing.length }
}

/** One key for all its declarations, in the order of their names. */
export const keysOf = (declarations: Declarations): ReadonlyArray<CatalogKey> => {
  const keys = new Map<string, CatalogKey>()
  for (const declared of declarations) {
    const name = JSON.stringify([declared.namespace, declared.key])
    const known = keys.get(name)
    keys.set(
      name,
      known === undefined
        ? { ...declared, declaredBy: [declared.declaredBy] }
        : { ...known, secret: known.secret || declared.secret, declaredBy: [...known.declaredBy, declared.declaredBy] }
    )
  }
  return [...keys.values()].sort((a, b) => compare(a.namespace, b.namespace) || compare(a.key, b.key))
}

const idOf = ({ declaredBy, key, namespace }: KeyName & { readonly declaredBy: string }) =>
  JSON.stringify([namespace, key, declaredBy])

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
