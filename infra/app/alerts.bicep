// Alerts by e-mail, from the service's log line: the platform counts disconnects as failures, and errors within a stream as
// successes.

param name string
param applicationInsightsName string
param location string
param tags object
param email string

var chat = loadTextContent('../queries/chat.kql')

var rules = [
  {
    name: 'failures'
    displayName: 'Chat: requests fail'
    query: loadTextContent('../queries/alerts/failures.kql')
  }
  {
    name: 'latency'
    displayName: 'Chat: the first chunk is late'
    query: loadTextContent('../queries/alerts/latency.kql')
  }
  {
    name: 'rate-limits'
    displayName: 'Chat: the quota of the model is used up'
    query: loadTextContent('../queries/alerts/rate-limits.kql')
  }
]

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource recipients 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'chat'
    enabled: true
    emailReceivers: [
      {
        name: 'e-mail'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: '${name}-${rule.name}'
  location: location
  tags: tags
  properties: {
    displayName: rule.displayName
    severity: 2
    enabled: true
    scopes: [applicationInsights.id]
    // Three times the price at every five minutes.
    evaluationFrequency: 'PT15M'
    windowSize: 'PT15M'
    criteria: {
      allOf: [
        {
          query: '${chat}${rule.query}'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: true
    actions: { actionGroups: [recipients.id] }
  }
}]
