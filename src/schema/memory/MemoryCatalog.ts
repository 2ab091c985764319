/**
 * The catalogue of keys that the table in memory has: what applications declare, and what is stored without it.
 */
import * as Result from "effect/Result"
import * as JsonText from "../JsonText.ts"
import { byName, idOf, type KeyName, nameOf } from "../KeyName.ts"
import type { Catalog, CatalogKey, KeyDeclaration } from "../operator/KeyDeclaration.ts"
import * as MemoryHistory from "./MemoryHistory.ts"
import type { Statement } from "./MemoryStatements.ts"
import { type Declarations, type Declared, isUntouched, rows, type Table } from "./MemoryTable.ts"

/** Whether any application says that a key is a secret. */
export const isSecret = (declarations: Declarations, { key, namespace }: KeyName): boolean =>
  declarations.some((each) => each.secret && each.key === key && each.namespace === namespace)

/** The declarations with those of an application in the place of its earlier ones, and how many of them differ. */
const declared = (
  declarations: Declarations,
  declaredBy: string,
  given: ReadonlyArray<KeyDeclaration>
): { readonly declarations: Declarations; readonly written: number } => {
  const secretsSoFar = declarations.filter(({ secret }) => secret)
  const known = new Map(declarations.map((each) => [placeOf(each), each]))
  const differing = given
    .map((declaration): Declared => {
      const mine = known.get(placeOf({ ...declaration, declaredBy }))
      const secret = declaration.secret || mine?.secret === true
      const withheld = secret || isSecret(secretsSoFar, declaration)
      return {
        ...declaration,
        secret,
        ...(withheld ? { defaultValue: undefined, examples: undefined } : {}),
        declaredBy
      }
    })
    .filter((declaration) => !JsonText.isSame(known.get(placeOf(declaration)), declaration))
  const replaced = new Set(differing.map(placeOf))
  const all = [...differing, ...declarations.filter((each) => !replaced.has(placeOf(each)))]
  const withheld = all.map((each) =>
    isSecret(all, each) ? { ...each, defaultValue: undefined, examples: undefined } : each
  )
  return { declarations: withheld, written: differing.length }
}

/** Declares keys. The history forgets the values of those that become secrets. */
export const declare =
  (
    declaredBy: string,
    given: ReadonlyArray<KeyDeclaration>
  ): Statement<{ readonly written: number; readonly undeclared: number }> =>
  (table) => {
    const { declarations, written } = declared(table.declarations, declaredBy, given)
    const history = given
      .filter((each) => each.secret && !isSecret(table.declarations, each))
      .reduce(MemoryHistory.redact, table.history)
    const after = { ...table, declarations, history }
    return Result.succeed({ table: after, payloads: [], value: { written, undeclared: catalog(after).unknown.length } })
  }

/** The declared keys, and the stored entries that are not declared. */
export const catalog = (table: Table): Catalog => {
  const keys = keysOf(table.declarations)
  const known = new Set(keys.map(idOf))
  const unknown = rows(table).filter((row) => !isUntouched(row) && !known.has(idOf(row)))
  return { keys, unknown: unknown.map(nameOf) }
}

/** One key for all its declarations, in the order of their names. */
const keysOf = (declarations: Declarations): ReadonlyArray<CatalogKey> => {
  const keys = new Map<string, CatalogKey>()
  for (const declaration of declarations) {
    const name = idOf(declaration)
    const known = keys.get(name)
    keys.set(
      name,
      known === undefined
        ? { ...declaration, declaredBy: [declaration.declaredBy] }
        : {
            ...known,
            secret: known.secret || declaration.secret,
            declaredBy: [...known.declaredBy, declaration.declaredBy]
          }
    )
  }
  return [...keys.values()].sort(byName)
}

/** The key and the application together. */
const placeOf = (declared: Declared): string => JSON.stringify([idOf(declared), declared.declaredBy])
