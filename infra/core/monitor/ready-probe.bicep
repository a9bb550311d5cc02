// Asks GET /api/ready from outside. Without a probe the alert "Not ready" has nothing to see.

param location string
param tags object
param environmentName string
param applicationInsightsId string
param readyUrl string

resource probe 'Microsoft.Insights/webtests@2022-06-15' = {
  name: 'ready-${environmentName}'
  location: location
  // The tag ties the test to its component; the portal shows none without it.
  tags: union(tags, {
    'hidden-link:${applicationInsightsId}': 'Resource'
  })
  kind: 'standard'
  properties: {
    SyntheticMonitorId: 'ready-${environmentName}'
    Name: 'Ready: ${environmentName}'
    Kind: 'standard'
    Enabled: true
    // Every five minutes from each of three places: often enough for the alert, and a cold instance is met now and then.
    Frequency: 300
    Timeout: 30
    RetryEnabled: true
    Locations: [
      {
        Id: 'emea-nl-ams-azr'
      }
      {
        Id: 'us-va-ash-azr'
      }
      {
        Id: 'apac-sg-sin-azr'
      }
    ]
    Request: {
      RequestUrl: readyUrl
      HttpVerb: 'GET'
      ParseDependentRequests: false
    }
    ValidationRules: {
      ExpectedHttpStatusCode: 200
      SSLCheck: true
      SSLCertRemainingLifetimeCheck: 7
    }
  }
}
