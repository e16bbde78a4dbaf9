// An Azure Monitor workbook with the queries of infra/queries: in the portal, Application Insights, Workbooks.

param applicationInsightsName string
param displayName string
param location string
param tags object

var chat = loadTextContent('../queries/chat.kql')

var panels = [
  {
    title: 'Requests per hour'
    visualization: 'barchart'
    query: loadTextContent('../queries/requests.kql')
  }
  {
    title: 'Seconds to the first chunk'
    visualization: 'linechart'
    query: loadTextContent('../queries/latency.kql')
  }
  {
    title: 'Instances'
    visualization: 'linechart'
    query: loadTextContent('../queries/instances.kql')
  }
  {
    title: 'Failures by reason'
    visualization: 'table'
    query: loadTextContent('../queries/failures.kql')
  }
  {
    title: 'Failed invocations: disconnects and others'
    visualization: 'table'
    query: loadTextContent('../queries/disconnects.kql')
  }
  {
    title: 'Tokens and cost per day'
    visualization: 'table'
    query: loadTextContent('../queries/cost.kql')
  }
  {
    title: 'Tokens counted against the budget, per day'
    visualization: 'table'
    query: loadTextContent('../queries/budget.kql')
  }
  {
    title: 'Tokens and cost per day and API key or person'
    visualization: 'table'
    query: loadTextContent('../queries/keys.kql')
  }
]

var timeRange = {
  type: 9
  name: 'parameters'
  content: {
    version: 'KqlParameterItem/1.0'
    style: 'pills'
    parameters: [
      {
        id: 'b7c1b1b6-1d4e-4c3c-9d57-0f2f3d1f7a10'
        version: 'KqlParameterItem/1.0'
        name: 'time'
        label: 'Time range'
        type: 4
        isRequired: true
        value: { durationMs: 604800000 }
        typeSettings: {
          allowCustom: true
          selectableValues: [
            { durationMs: 3600000 }
            { durationMs: 86400000 }
            { durationMs: 604800000 }
            { durationMs: 2592000000 }
          ]
        }
      }
    ]
  }
}

var queries = [for panel in panels: {
  type: 3
  name: panel.title
  content: {
    version: 'KqlItem/1.0'
    title: panel.title
    query: '${chat}${panel.query}'
    visualization: panel.visualization
    size: 0
    timeContextFromParameter: 'time'
    queryType: 0
    resourceType: 'microsoft.insights/components'
  }
}]

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(applicationInsights.id, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: displayName
    category: 'workbook'
    sourceId: applicationInsights.id
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([timeRange], queries)
      fallbackResourceIds: [applicationInsights.id]
    })
  }
}
