const SAMPLE = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/i
const LABELS = /^(?:[a-z_]\w*="(?:[^"\\\n]|\\[\\n"])*"(?:,|$))*$/i

/** The samples of Prometheus' text format by what stands before their value; throws for what is none. */
export function parseExposition(text: string): ReadonlyMap<string, number> {
  const types = new Set<string>()
  const helps = new Set<string>()
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, kind, name = ''] = /^# (HELP|TYPE) (\S+) \S/.exec(line) ?? []
    if (kind !== undefined) (kind === 'TYPE' ? types : helps).add(name)
    else if (line !== '') addSample(samples, types, helps, line)
  }
  return samples
}

function addSample(
  samples: Map<string, number>,
  types: ReadonlySet<string>,
  helps: ReadonlySet<string>,
  line: string,
): void {
  const [, name = '', labels = '', number = ''] = SAMPLE.exec(line) ?? []
  const value = number.replace('Inf', 'Infinity').replace(/^Nan$/, 'NaN')
  const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '')
  const isKnown = types.has(family) && helps.has(family)
  const isNumber = value === 'NaN' || !Number.isNaN(Number(value))
  const key = line.slice(0, line.lastIndexOf(' '))
  if (!isKnown || !isNumber || !LABELS.test(labels) || samples.has(key)) {
    throw new Error(`not a sample of the text format: ${line}`)
  }
  samples.set(key, Number(value))
}
