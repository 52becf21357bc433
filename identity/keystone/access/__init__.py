"""The identity service as proxies know it: whose a token or an S3 key is, and what that allows. No database, no wait.

Token keys, revocations and EC2 keys are followed in coordination, where the service publishes them; tokens are opened
here. So an outage of the service fails nobody who has a token or a key. The rules are those of Swift's keystoneauth.

Read first: member (who may do what). Nothing here imports SQLAlchemy.
"""
