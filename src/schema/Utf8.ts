/**
 * Texts as bytes, for hashes that are the same in every database, as SQL expressions.
 *
 * @since 0.1.0
 */

/**
 * The bytes of a text in UTF-8. A database in `SQL_ASCII` does not know what its bytes mean: they are taken as they are,
 * since one text that is not UTF-8 would fail the whole statement.
 *
 * @since 0.1.0
 */
export const bytesOf = (text: string): string =>
  `pg_catalog.convert_to(${text}, (CASE pg_catalog.getdatabaseencoding() WHEN 'SQL_ASCII'::name THEN 'SQL_ASCII' ELSE 'UTF8' END)::name)`
