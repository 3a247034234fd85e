import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../src/local/ports.ts'
import { type GoModule, buildGoPrograms } from '../support/cluster/go-tools.ts'
import { startServer } from '../support/cluster/server-process.ts'
import { cachedFolder } from '../support/cluster/tool-cache.ts'

const VERSION = 'v0.139.0'
const READY_MILLISECONDS = 30_000

/** The OpenTelemetry collector with one receiver and one exporter: as released it brings a hundred more. */
const collector: GoModule = {
  module: 'go.opentelemetry.io/collector/otelcol',
  version: VERSION,
  also: {
    'go.opentelemetry.io/collector/receiver/otlpreceiver': VERSION,
    'go.opentelemetry.io/collector/exporter/debugexporter': VERSION,
    'go.opentelemetry.io/collector/confmap/provider/fileprovider': 'v1.45.0',
  },
  programs: { collector: '.' },
  source: `package main

import (
	"log"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/debugexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

func factories() (otelcol.Factories, error) {
	receivers, err := otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory())
	if err != nil {
		return otelcol.Factories{}, err
	}
	exporters, err := otelcol.MakeFactoryMap[exporter.Factory](debugexporter.NewFactory())
	return otelcol.Factories{Receivers: receivers, Exporters: exporters, Telemetry: otelconftelemetry.NewFactory()}, err
}

func main() {
	command := otelcol.NewCommand(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "collector", Version: "test"},
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
			DefaultScheme:     "file",
		}},
	})
	if err := command.Execute(); err != nil {
		log.Fatal(err)
	}
}
`,
}

export interface CollectedSpan {
  service: string
  name: string
  traceId: string
}

/** A real collector that writes down what it receives over OTLP/HTTP. Its log lies in `folder`. */
export async function startCollector(
  folder: string,
): Promise<{ endpoint: string; spans(): CollectedSpan[]; stop(): Promise<void> }> {
  const binaries = await cachedFolder(`otel-collector-${VERSION}`, (fresh) =>
    buildGoPrograms(collector, ['collector'], fresh),
  )
  const endpoint = `127.0.0.1:${await freePort()}`
  const config = join(folder, 'collector.json')
  writeFileSync(
    config,
    JSON.stringify({
      receivers: { otlp: { protocols: { http: { endpoint } } } },
      exporters: { debug: { verbosity: 'detailed' } },
      service: {
        telemetry: { metrics: { level: 'none' } },
        pipelines: { traces: { receivers: ['otlp'], exporters: ['debug'] } },
      },
    }),
  )
  const log = join(folder, 'collector.log')
  const server = await startServer('collector', join(binaries, 'collector'), [`--config=file:${config}`], {
    log,
  })
  for (let waited = 0; !readFileSync(log, 'utf8').includes('Everything is ready'); waited += 100) {
    if (waited >= READY_MILLISECONDS || !server.isRunning()) {
      await server.stop('SIGKILL')
      throw new Error(`the collector does not start: ${readFileSync(log, 'utf8').slice(-2000)}`)
    }
    await sleep(100)
  }
  return {
    endpoint: `http://${endpoint}`,
    spans: () => spansIn(readFileSync(log, 'utf8')),
    stop: () => server.stop(),
  }
}

/** From the detailed text of the collector's debug exporter: a resource with its spans, one after the other. */
function spansIn(text: string): CollectedSpan[] {
  return text.split(/^Resource(?:Spans|Trace)? #\d+|^ResourceSpans #\d+/m).flatMap((resource) => {
    const service = /service\.name: Str\(([^)]*)\)/.exec(resource)?.[1]
    if (service === undefined) return []
    return Array.from(
      resource.matchAll(/Trace ID\s*: (\w+)[\s\S]*?Name\s*: (\S+)/g),
      ([, traceId = '', name = '']) => ({ service, traceId, name }),
    )
  })
}
