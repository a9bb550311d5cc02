// What watches the service, and who is told.

param location string
param tags object
param environmentName string
param logAnalyticsWorkspaceId string
param applicationInsightsId string
param cosmosAccountId string

@description('Address that alerts are sent to; none: nobody is told.')
param alertEmail string

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${environmentName}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'chat'
    enabled: true
    emailReceivers: empty(alertEmail) ? [] : [
      {
        name: 'on-call'
        emailAddress: alertEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

var metricRules = [
  {
    name: 'requests-fail'
    scope: applicationInsightsId
    namespace: 'microsoft.insights/components'
    metric: 'requests/failed'
    aggregation: 'Count'
    threshold: 10
  }
  {
    name: 'cosmos-is-slow'
    scope: cosmosAccountId
    namespace: 'Microsoft.DocumentDB/databaseAccounts'
    metric: 'ServerSideLatencyGateway'
    aggregation: 'Average'
    threshold: 100
  }
]

resource metricAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [for rule in metricRules: {
  name: '${rule.name}-${environmentName}'
  location: 'global'
  tags: tags
  properties: {
    severity: 2
    enabled: true
    scopes: [rule.scope]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: rule.name
          metricNamespace: rule.namespace
          metricName: rule.metric
          timeAggregation: rule.aggregation
          operator: 'GreaterThan'
          threshold: rule.threshold
        }
      ]
    }
    actions: [
      {
        actionGroupId: actionGroup.id
      }
    ]
  }
}]

resource failedTurns 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'turns-fail-${environmentName}'
  location: location
  tags: tags
  properties: {
    displayName: 'Turns fail'
    severity: 2
    enabled: true
    scopes: [logAnalyticsWorkspaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      allOf: [
        {
          query: 'AppMetrics | where Name == "chat.turns" and tostring(Properties["chat.turn.status"]) == "failed"'
          timeAggregation: 'Total'
          metricMeasureColumn: 'Sum'
          operator: 'GreaterThan'
          threshold: 10
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroup.id]
    }
  }
}
