/** One JSON request; rejects for any answer but the expected kind. */
async function post(url: string, path: string, token: string | undefined, body: unknown) {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  })
  // oxlint-disable-next-line typescript/no-explicit-any
  const json = (await response.json()) as any
  if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(json)}`)
  return json
}

/** Registers somebody and creates a key that calls the provider. */
export async function createLiveKey(url: string): Promise<string> {
  const account = { email: 'long@example.com', password: 'correct horse battery' }
  await post(url, '/v1/auth/register', undefined, account)
  const { access_token: token } = await post(url, '/v1/auth/login', undefined, account)
  const created = await post(url, '/v1/keys', token, { name: 'long', mode: 'live' })
  return created.key
}

/** What is measured, in the words of our API and of the provider's. */
const SIZE = '4K'
const RATIO = '1:1'

/** Makes a picture of 16.8 megapixels; resolves once it is stored. */
export const generateLarge = (url: string, key: string): Promise<void> =>
  generate(url, key, { prompt: 'a banana', size: SIZE }, 4096)

/** The same walk with an answer of 1 MB. */
export const generateSmall = (url: string, key: string): Promise<void> =>
  generate(url, key, { prompt: '[[image-only signatureBytes=64]]', size: '1K' }, 1024)

async function generate(url: string, key: string, body: object, width: number): Promise<void> {
  const made = await post(url, '/v1/generate', key, { ...body, aspect_ratio: RATIO })
  if (made.images[0]?.width !== width) throw new Error(`not ${width} wide: ${JSON.stringify(made)}`)
}

/** Bytes of the provider's answer to that, and of the picture in it. */
export async function answerSize(url: string): Promise<{ json: number; picture: number }> {
  const response = await fetch(`${url}/v1/models/gemini-nano-banana-2.1:generateContent`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-goog-api-key': 'x' },
    body: JSON.stringify({
      contents: [{ role: 'user', parts: [{ text: 'a banana' }] }],
      generationConfig: { imageConfig: { aspectRatio: RATIO, imageSize: SIZE } },
    }),
  })
  const text = await response.text()
  const base64 = /"data":\s*"([^"]+)"/.exec(text)?.[1] ?? ''
  return { json: Buffer.byteLength(text), picture: Buffer.byteLength(base64, 'base64') }
}
