export interface Route {
  version: string
  /** Absent for the list of models. */
  model?: string
  /** What follows the colon: absent for reading a model. */
  method?: string
}

const PATH = /^\/(v1|v1beta)\/(?:models|tunedModels)(?:\/([^/:]+)(?::([A-Za-z]+))?)?$/

/** Reads a path of the API; anything else is no concern of ours. */
export function readRoute(pathname: string, prefix: string): Route | undefined {
  if (!pathname.startsWith(prefix)) return undefined
  const match = PATH.exec(pathname.slice(prefix.length))
  if (!match) return undefined
  const [, version = '', model, method] = match
  return { version, model: model && decode(model), method }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
