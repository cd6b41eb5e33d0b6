// NANOBANANA_API_KEY=nb_test_… node main.js "a banana astronaut" banana.jpg
import { NanoBanana, NanoBananaError } from '@nanobanana/sdk'

const [prompt = 'a banana astronaut', file = 'banana.jpg'] = process.argv.slice(2)

// Reads NANOBANANA_API_KEY and NANOBANANA_BASE_URL.
const client = new NanoBanana()

try {
  // Waits for the picture, and repeats by itself what is worth repeating.
  const generation = await client.generate({ prompt, aspect_ratio: '16:9', output_format: 'jpeg' })
  const [image] = generation.images
  await image.save(file)
  console.log(`${file}: ${image.width}x${image.height}, ${generation.usage.cost_usd} USD`)
} catch (error) {
  if (!(error instanceof NanoBananaError)) throw error
  // The request id is what the operator of the service can look for in the log.
  console.error(`${error.code}: ${error.message} (${error.requestId})`)
  process.exitCode = 1
}
