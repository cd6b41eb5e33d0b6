/** A member of a structured field of RFC 9651 that is a list of strings with whole numbers as parameters. */
export interface Item {
  readonly name: string
  readonly parameters: Readonly<Record<string, number>>
}

const STRING = /^"((?:[ !#-[\]-~]|\\["\\])*)"/
const PARAMETER = /^; *([a-z*][a-z0-9_.*-]*)=(-?\d{1,15})/
const COMMA = /^[ \t]*,[ \t]*(?=")/

/** Parses such a list as strictly as the grammar; throws for anything else. */
export function parseList(field: string | undefined): Item[] {
  let rest = field ?? ''
  const take = (pattern: RegExp) => {
    const found = pattern.exec(rest)
    rest = rest.slice(found?.[0].length ?? 0)
    return found
  }
  const items: Item[] = []
  do {
    const name = take(STRING)?.[1]
    if (name === undefined) throw new Error(`no list of strings: ${field}`)
    const parameters: Record<string, number> = {}
    for (let found = take(PARAMETER); found !== null; found = take(PARAMETER))
      parameters[found[1]!] = Number(found[2])
    items.push({ name, parameters })
  } while (take(COMMA) !== null)
  if (rest !== '') throw new Error(`more than a list: ${field}`)
  return items
}
