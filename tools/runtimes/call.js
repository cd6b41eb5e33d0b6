// What is tried in every run time, by way of the packed tarball: a picture is edited, its bytes are
// read and compared, and a webhook is verified.

/** Answers one line that says what was seen; throws where it is not what it must be. */
export async function call({ NanoBanana, verify }, { baseUrl, apiKey, picture }) {
  const options = { baseUrl, apiKey, dangerouslyAllowBrowser: true }
  const client = new NanoBanana(options)
  const reference = new Blob([Uint8Array.from(atob(picture), (char) => char.charCodeAt(0))])
  const made = await client.generate({ prompt: 'a banana in a new place', images: [reference] })
  const [image] = made.images
  const bytes = await image.bytes()
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  const sha256 = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  if (sha256 !== image.sha256) throw new Error('the bytes are not those of the picture')

  let events = 0
  for await (const { type } of client.generate.stream({ prompt: 'told as it goes' })) {
    events += type.startsWith('generation.') ? 1 : 0
  }
  if (events < 2) throw new Error('the stream told too little')

  const forged = { 'webhook-id': 'a', 'webhook-timestamp': '1', 'webhook-signature': 'v1,AAAA' }
  const refused = await verify('{}', forged, 'whsec_MDEyMzQ1Njc4OQ==').catch(({ code }) => code)
  if (refused !== 'timestamp_out_of_range') throw new Error(`verify: ${refused}`)
  return `${made.status}, ${image.width}x${image.height}, ${bytes.length} bytes, ${events} events`
}
